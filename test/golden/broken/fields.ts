/** One wrong field each, and what is said about it. Each row: a name, the YAML, `line:column: message` of every problem. */

/** A valid rest, so that a row shows one problem. */
const REST = `
pools: { ranker: {} }
routes: [{}]
`

export const fields: ReadonlyArray<readonly [name: string, yaml: string, wanted: readonly string[]]> = [
  [
    'an unknown key has its nearest neighbour named',
    `server:\n  worker: 2${REST}`,
    ['2:3: server: unknown key "worker" (did you mean "workers"?)'],
  ],
  [
    'an unknown key far from all has all named',
    `log: { colour: red }${REST}`,
    ['1:8: log: unknown key "colour" (known keys: level, format, access)'],
  ],
  [
    'unknown keys are found at any depth',
    `pools:\n  a:\n    health:\n      intervall: 5s\nroutes: [{}]`,
    ['4:7: pools.a.health: unknown key "intervall" (did you mean "interval"?)'],
  ],
  [
    'keys of one kind of tier are unknown in another',
    `cache:\n  tiers:\n    - { name: m, type: memory, readTimeout: 5ms }${REST}`,
    [
      '3:32: cache.tiers[0]: unknown key "readTimeout" (known keys: name, type, maxBytes, snapshot, snapshotEvery, snapshotBytes, secret, encrypt)',
    ],
  ],
  [
    'a duration needs its unit',
    `server: { drainTimeout: 5 }${REST}`,
    [
      '1:25: server.drainTimeout: expected a duration with its unit, such as 50ms, 1.5s, 10m, 24h or 7d: a number alone has none',
    ],
  ],
  [
    'a duration has a range',
    `pools:\n  a: { connectTimeout: 10m }\nroutes: [{}]`,
    ['2:24: pools.a.connectTimeout: must be from 1ms to 1m'],
  ],
  [
    'a block where yes or no is written',
    'pools: { a: {} }\nroutes:\n  - { pool: a, cache: yes, batch: no }\n',
    [
      '3:23: routes[0].cache: expected a mapping, got a text (write cache: {} for the defaults)',
      '3:35: routes[0].batch: expected a mapping, got a text (leave it out)',
    ],
  ],
  [
    'a value where its key is missing',
    `log: debug\npools: { a: { backends: ["http://h"], balance: p2c, slo: 200ms } }\nroutes: [{ pool: a }]`,
    [
      '1:6: log: expected a mapping, got a text (such as { level: …, format: …, access: … })',
      '2:26: pools.a.backends[0]: expected a mapping, got a text (such as { id: …, url: …, grpc: …, weight: … })',
      '2:48: pools.a.balance: expected a mapping, got a text (such as { policy: …, probe: …, slowStart: …, zone: … })',
      '2:58: pools.a.slo: expected a mapping, got a text (such as { p95: …, ttft: …, itl: … })',
    ],
  ],
  [
    'a key of another block is not sent there',
    `cache: { tiers: [{ name: r, type: redis, url: "redis://h", host: h, ttl: 1m }] }${REST}`,
    [
      '1:60: cache.tiers[0]: unknown key "host" (known keys: name, type, url, cluster, tls, sentinel, readTimeout, writeTimeout, connectTimeout, prefix, maxEntryBytes, secret, encrypt)',
      '1:69: cache.tiers[0]: unknown key "ttl" (it belongs under cache.defaults)',
    ],
  ],
  [
    'a port that no machine has',
    `pools: { a: { backends: [{ url: "http://h:99999" }] } }\nroutes: [{ pool: a }]`,
    [
      '1:33: pools.a.backends[0].url: this is no URL: see whether its host and its port (at most 65535) are right',
    ],
  ],
  [
    'pools as a list, told once',
    `pools: [{ name: a }]\nroutes: [{ pool: a }]`,
    ['1:8: pools: expected a mapping, got a list (write "key: value" lines, without "- ")'],
  ],
  [
    'a size in the words of other programs',
    `cache: { tiers: [{ name: memory, type: memory, maxBytes: 128M }] }${REST}`,
    [
      '1:58: cache.tiers[0].maxBytes: expected a size, such as 64MiB, 1GiB, 10kB or a whole number of bytes: the unit is written MiB',
    ],
  ],
  [
    'a number where a duration is meant',
    `pools: { a: { health: { interval: 600 } } }\nroutes: [{ pool: a }]`,
    [
      '1:35: pools.a.health.interval: expected a duration with its unit, such as 50ms, 1.5s, 10m, 24h or 7d: a number alone has none',
    ],
  ],
  [
    'a truth value of YAML 1.1',
    `server: { fastDoor: yes }${REST}`,
    ['1:21: server.fastDoor: expected true or false, got a text (write true)'],
  ],
  [
    'a rate and a quota need their unit of time',
    `auth: { keys: [] }\ntenants: { a: { rate: { requests: 100 }, quota: { rows: 100 } } }${REST}`,
    [
      '1:7: auth: nobody can prove who they are (add `auth` with keys, jwt, mtls or trustedProxies)',
      '2:35: tenants.a.rate.requests: expected a text, got a number (such as 100/s)',
      '2:49: tenants.a.quota: a restart would forget what was used (add a tier of the type redis to cache.tiers, where the counts are kept)',
      '2:57: tenants.a.quota.rows: expected a text, got a number (such as 10M/d)',
    ],
  ],
  [
    'a version without quotes',
    `pools: { a: { backends: [{ url: "http://h", models: [{ name: m, version: 3 }] }] } }\nroutes: [{ pool: a }]`,
    ['1:74: pools.a.backends[0].models[0].version: expected a text, got a number (put it in quotes)'],
  ],
  [
    'right keys in wrong places',
    `cache: { ttl: 10m }\nserver: { requestTimeout: 5s }\npools: { a: {} }\nroutes: [{ pool: a, ttl: 10m, match: { timeout: 5s } }]\nlevel: debug`,
    [
      '1:10: cache: unknown key "ttl" (it belongs under cache.defaults)',
      '2:11: server: unknown key "requestTimeout" (it belongs under server.limits)',
      '4:21: routes[0]: unknown key "ttl" (it belongs under routes[0].cache)',
      '4:40: routes[0].match: unknown key "timeout" (it belongs under routes[0])',
      '5:1: unknown key "level" (it belongs under log)',
    ],
  ],
  [
    'a regular expression for a path',
    `pools: { a: {} }\nroutes: [{ pool: a, match: { path: "^/v1/(a|b)$" } }]`,
    [
      '2:36: routes[0].match.path: this reads as a regular expression, and each sign of it would be taken as it stands: only * is special, for one or more characters',
    ],
  ],
  [
    'a password that no URL can hold as it is',
    `cache: { tiers: [{ name: r, type: redis, url: "redis://:p%ss@h:6379" }] }${REST}`,
    [
      '1:47: cache.tiers[0].url: in a user or password % is written %25, @ is %40, : is %3A, / is %2F and # is %23',
    ],
  ],
  [
    'a size is checked',
    `server: { limits: { maxBodyBytes: 64M } }${REST}`,
    [
      '1:35: server.limits.maxBodyBytes: expected a size, such as 64MiB, 1GiB, 10kB or a whole number of bytes: the unit is written MiB',
    ],
  ],
  [
    'a size is no list',
    `server: { limits: { maxBodyBytes: [1] } }${REST}`,
    [
      '1:35: server.limits.maxBodyBytes: expected a size, such as 64MiB, 1GiB, 10kB or a whole number of bytes',
    ],
  ],
  [
    'an address needs a port',
    `server: { listen: 0.0.0.0 }${REST}`,
    [
      '1:19: server.listen: expected an address with its port, such as 0.0.0.0:8080, 127.0.0.1:0 or [::]:8080',
    ],
  ],
  [
    'an address has a possible port',
    `server: { listen: "localhost:70000" }${REST}`,
    [
      '1:19: server.listen: expected an address with its port, such as 0.0.0.0:8080, 127.0.0.1:0 or [::]:8080',
    ],
  ],
  [
    'workers are few, or auto',
    `server: { workers: many }${REST}`,
    ['1:20: server.workers: expected a whole number from 1 to 256, or auto'],
  ],
  [
    'a word of a list has its nearest neighbour named',
    `pools: { a: { balance: { policy: peak-ewm } } }\nroutes: [{}]`,
    [
      '1:34: pools.a.balance.policy: expected one of peak-ewma, p2c, round-robin, random, least-request, prequal, rendezvous, maglev, prefix (did you mean "peak-ewma"?)',
    ],
  ],
  [
    'an unknown type of tier has its nearest neighbour named',
    `cache: { tiers: [{ name: r, type: reddis }] }${REST}`,
    ['1:35: cache.tiers[0].type: expected one of memory, redis, memcached (did you mean "redis"?)'],
  ],
  [
    'a type is required',
    `cache: { tiers: [{ name: r }] }${REST}`,
    ['1:18: cache.tiers[0].type: is required (one of memory, redis, memcached)'],
  ],
  [
    'what is required says what it is',
    `pools:\n  a:\n    backends:\n      - weight: 2\nroutes: [{}]`,
    [
      '4:9: pools.a.backends[0].url: is required (Base URL of the model server, such as `http://127.0.0.1:8501`)',
    ],
  ],
  [
    'a number is in its range',
    `pools: { a: { retry: { max: 99 } } }\nroutes: [{}]`,
    ['1:29: pools.a.retry.max: must be at most 10'],
  ],
  [
    'a whole number is whole',
    `pools: { a: { connections: 1.5 } }\nroutes: [{}]`,
    ['1:28: pools.a.connections: expected a whole number, got a number'],
  ],
  [
    'a truth value is true or false',
    `admin: { openMetrics: yes }${REST}`,
    ['1:23: admin.openMetrics: expected true or false, got a text (write true)'],
  ],
  [
    'a list is no mapping',
    `pools: []\nroutes: [{}]`,
    ['1:8: pools: expected a mapping, got a list (write "key: value" lines, without "- ")'],
  ],
  [
    'an entry of nothing',
    `pools: { a: {} }\nroutes:\n  -\n`,
    ['3:4: routes[0]: expected a mapping, got nothing (such as { name: …, match: …, protocol: …, pool: … })'],
  ],
  [
    'an empty list where one entry is needed',
    `cache: { tiers: [{ name: m, type: memcached, servers: [] }] }${REST}`,
    ['1:55: cache.tiers[0].servers: needs at least one entry'],
  ],
  [
    'min above max',
    `pools: { a: { scale: { min: 5, max: 2 } } }\nroutes: [{}]`,
    ['1:29: pools.a.scale.min: must not be above max'],
  ],
  [
    'a fast window longer than the stable one',
    `pools: { a: { scale: { windows: { fast: 2m } } } }\nroutes: [{}]`,
    ['1:41: pools.a.scale.windows.fast: must not be above stable'],
  ],
  [
    'a pool of an impossible name',
    `pools: { "a b": {} }\nroutes: [{ pool: "a b" }]`,
    [
      '1:10: pools: a pool\'s name has 1 to 64 letters, digits, "_", "-" and ".", the first a letter or digit',
    ],
  ],
  [
    'a backend URL without a scheme',
    `pools: { a: { backends: [{ url: "10.0.0.1:8501" }] } }\nroutes: [{}]`,
    ['1:33: pools.a.backends[0].url: expected a URL with its scheme, such as http://127.0.0.1:8501'],
  ],
  [
    'a backend URL with credentials',
    `pools: { a: { backends: [{ url: "http://u:p@h" }] } }\nroutes: [{}]`,
    ['1:33: pools.a.backends[0].url: no credentials in this URL'],
  ],
  [
    'a share without its sign',
    `pools: { a: {} }\nroutes: [{ log: { to: /tmp, sample: 10 } }]`,
    ['2:37: routes[0].log.sample: expected a text, got a number (such as 10%)'],
  ],
  [
    'the URL of a key set with credentials',
    `auth: { jwt: [{ issuer: i, audience: a, jwks: "https://u:p@h/jwks", tenant: claim.t, tenants: [t] }] }${REST}`,
    ['1:47: auth.jwt[0].jwks: no credentials in this URL'],
  ],
  [
    'the URL of a key set that is none',
    `auth: { jwt: [{ issuer: i, audience: a, jwks: "https://h:99999/", tenant: claim.t, tenants: [t] }] }${REST}`,
    ['1:47: auth.jwt[0].jwks: this is no URL: see whether its host and its port (at most 65535) are right'],
  ],
  [
    'a backend URL with a query',
    `pools: { a: { backends: [{ url: "http://h/?" }] } }\nroutes: [{}]`,
    [
      '1:33: pools.a.backends[0].url: no query and no fragment in this URL: the path of the call is appended to it',
    ],
  ],
  [
    'a Redis URL of another scheme',
    `cache: { tiers: [{ name: r, type: redis, url: "http://h" }] }${REST}`,
    [
      '1:47: cache.tiers[0].url: expected a URL such as redis://127.0.0.1:6379, rediss://user:password@host:6380/0 or unix://user:password@localhost/run/redis.sock',
    ],
  ],
  [
    'a range of addresses',
    `server: { trustedProxies: [10.0.0.0/33] }${REST}`,
    [
      '1:28: server.trustedProxies[0]: expected an address range, such as 10.0.0.0/8, fd00::/8 or 192.168.1.7',
    ],
  ],
  [
    'a path pattern with two stars in a row',
    `pools: { a: {} }\nroutes: [{ match: { path: "/v1/**" } }]`,
    ['2:27: routes[0].match.path: write one * for **: it stands for slashes as well'],
  ],
  [
    'a method in small letters',
    `pools: { a: {} }\nroutes: [{ match: { method: post } }]`,
    ['2:29: routes[0].match.method: expected methods in capitals, such as POST'],
  ],
  [
    'a token instead of its hash',
    `admin: { tokens: [{ name: ops, hash: topsecret, scopes: [admin] }] }${REST}`,
    [
      '1:38: admin.tokens[0].hash: expected sha256: and 64 hex digits; make them with: printf %s "$TOKEN" | sha256sum',
    ],
  ],
  [
    'an admin listener open to the network',
    `admin: { listen: 0.0.0.0:9090 }${REST}`,
    [
      '1:18: admin.listen: without admin.tokens the admin API must listen on a loopback address, such as 127.0.0.1:9090',
    ],
  ],
  ...[
    ['redis://h/abc', 'url may end with /NUMBER, the database, and with nothing else'],
    ['redis://h/-1', 'url may end with /NUMBER, the database, and with nothing else'],
    ['redis://h?family=6', 'url may end with /NUMBER, the database, and with nothing else'],
    ['redis:///x', 'url must begin with redis:// or rediss:// and name a host'],
  ].map(
    ([url, message]) =>
      [
        `a Redis that serve would not take: ${url}`,
        `cache: { tiers: [{ name: r, type: redis, url: "${url}" }] }${REST}`,
        [`1:47: cache.tiers[0].url: ${message}`],
      ] as const,
  ),
  [
    'a database in a cluster',
    `cache: { tiers: [{ name: r, type: redis, cluster: true, url: "redis://h/3" }] }${REST}`,
    ['1:62: cache.tiers[0].url: a cluster has database 0 only; take /3 out of the url'],
  ],
  ...(
    [
      [
        'redis://h:6379',
        'with "sentinel" the url has no port: its host is the name that the sentinels have for the primary, as in redis://mymaster',
      ],
      [
        'unix:///run/redis.sock',
        'a Unix socket leads to one server; take "sentinel" out, or name a host in the url',
      ],
    ] as const
  ).map(
    ([url, message]) =>
      [
        `a primary that no Sentinel can name: ${url}`,
        `cache: { tiers: [{ name: r, type: redis, sentinel: { nodes: ["s:26379"] }, url: "${url}" }] }${REST}`,
        [`1:81: cache.tiers[0].url: ${message}`],
      ] as const,
  ),
  [
    'Sentinels of a cluster, and a Sentinel without a port',
    `cache: { tiers: [{ name: r, type: redis, cluster: true, url: "redis://h", sentinel: { nodes: ["s:1"] } }, { name: q, type: redis, url: "redis://h", sentinel: { nodes: [s] } }] }${REST}`,
    [
      '1:85: cache.tiers[0].sentinel: a cluster has no Sentinels: take one of the two out',
      '1:169: cache.tiers[1].sentinel.nodes[0]: expected host:port, such as 10.0.0.1:26379',
    ],
  ],
  ...[
    'unix://:p@/run/redis.sock',
    'unix:///run/redis.sock/3?db=x',
    'unix://other/run/redis.sock',
    'unix:///',
  ].map(
    (url) =>
      [
        `a socket that is none: ${url}`,
        `cache: { tiers: [{ name: r, type: redis, url: "${url}" }] }${REST}`,
        [
          url.includes('@')
            ? '1:47: cache.tiers[0].url: expected a URL such as redis://127.0.0.1:6379, rediss://user:password@host:6380/0 or unix://user:password@localhost/run/redis.sock; in a user or password % is written %25, @ is %40, : is %3A, / is %2F and # is %23'
            : '1:47: cache.tiers[0].url: write the path of a socket as unix:///run/redis.sock, or unix:///run/redis.sock?db=2',
        ],
      ] as const,
  ),
  [
    'a user of SASL without a password',
    `cache: { tiers: [{ name: m, type: memcached, servers: ["unix:/run/m.sock"], username: u }] }${REST}`,
    ['1:87: cache.tiers[0].username: SASL takes both: username and password'],
  ],
  [
    'a port beyond all ports',
    `cache: { tiers: [{ name: m, type: memcached, servers: ["h:65536"] }] }${REST}`,
    ['1:56: cache.tiers[0].servers[0]: expected host:port or unix:/path, such as 127.0.0.1:11211'],
  ],
  [
    'a name that means something to JavaScript',
    'pools: { __proto__: { backends: [] }, a: {} }\nroutes: [{ pool: a }]\n',
    ['1:10: pools.__proto__: this key cannot be used'],
  ],
  [
    'two listeners on one address',
    `server: { listen: 127.0.0.1:9000 }\nadmin: { listen: 127.0.0.1:9000 }${REST}`,
    ['2:18: admin.listen: the same address as server.listen'],
  ],
  [
    'nothing to serve',
    'log: { level: info }',
    ['1:1: nothing to serve (add an embedded model under models, or a pool under pools and a route to it)'],
  ],
  [
    'a backend on port 0, on which nothing listens',
    `pools: { ranker: { backends: [{ url: "http://x:0" }] } }\nroutes: [{}]`,
    ['1:38: pools.ranker.backends[0].url: nothing listens on port 0: write the port it really has'],
  ],
  [
    'a Redis on port 0',
    `cache: { tiers: [{ name: r, type: redis, url: "redis://x:0" }] }${REST}`,
    ['1:47: cache.tiers[0].url: nothing listens on port 0: write the port it really has'],
  ],
  [
    'a Memcached server that is named twice, and one on a port that there is not',
    `cache: { tiers: [{ name: m, type: memcached, servers: ["h:1", "H:1"] }, { name: n, type: memcached, servers: ["h:65536"] }] }${REST}`,
    [
      '1:63: cache.tiers[0].servers[1]: this server is named already',
      '1:111: cache.tiers[1].servers[0]: expected host:port or unix:/path, such as 127.0.0.1:11211',
    ],
  ],
  ...['/../a', '/a/%2e%2E/b*', '/%2fa', '/a%5c*', '/a/.'].map(
    (path) =>
      [
        `the path ${path}, with which every call is refused`,
        `pools: { ranker: {} }\nroutes: [{ match: { path: "${path}" } }]`,
        [
          '2:27: routes[0].match.path: no call gets here: paths with dot segments, or with an encoded slash, backslash or control character, are refused',
        ],
      ] as const,
  ),
  [
    'all fields at once in vary',
    `pools: { ranker: {} }\nroutes: [{ cache: { vary: ["*"] } }]`,
    [
      '2:28: routes[0].cache.vary[0]: no pattern here: name each field that answers depend on; where they depend on all, nothing can be kept, and "cache.enabled" is false',
    ],
  ],
  [
    'one field under two spellings of its name',
    `pools: { ranker: {} }\nroutes: [{ match: { headers: { X-A: one, x-a: two } } }]`,
    ['2:42: routes[0].match.headers: this field is named already, in other letters'],
  ],
  [
    'a condition without a value, which would let everything in',
    `pools: { ranker: {} }\nroutes: [{ match: { headers: { x-a: } } }]`,
    ['2:32: routes[0].match.headers: has no value (write one, or leave the key out)'],
  ],
  [
    'an unknown key without a value',
    `cache: { tll: }\npools: { ranker: {} }\nroutes:\n  - cache:\n      tll:\n      # ttl: 5m\n`,
    [
      '1:10: cache: unknown key "tll" (known keys: tiers, writeQueue, defaults)',
      '5:7: routes[0].cache: unknown key "tll" (did you mean "ttl"?)',
    ],
  ],
  [
    'a model comes from where models are read',
    'models:\n  - name: a\n    source: gs://bucket/a\n',
    [
      '3:13: models[0].source: gs:// is not read: write https://, http://, hdfs://, webhdfs://, swebhdfs://, s3:// or a path',
    ],
  ],
  [
    'a source has no credentials, no query and no dots',
    `models:
  - { name: a, source: "https://u:p@h/a.onnx" }
  - { name: b, source: "webhdfs://h/b?delegation=x" }
  - { name: c, source: "webhdfs://h/models/%2e%2e/c" }
  - { name: d, source: "s3://B/d" }
  - { name: e, source: "s3://bucket" }
`,
    [
      '2:24: models[0].source: no credentials in a source: see stores',
      '3:24: models[1].source: no query and no fragment in a source: it is shown and logged',
      '4:24: models[2].source: no "." and no ".." in a source',
      '5:24: models[3].source: it names no bucket: write s3://BUCKET/PATH',
      '6:24: models[4].source: it names no path in the bucket',
    ],
  ],
  [
    'hosts that redirects may lead to have no port',
    `stores: { hdfs: { dataNodes: ["dn1:9864", "*.x", "10.0.0.0/8", "1.2.3"], namenodes: ["http://nn:9870/webhdfs/v1"] } }${REST}`,
    [
      '1:31: stores.hdfs.dataNodes[0]: expected a host without a port, such as dn1.example, *.example or 10.0.0.0/8',
      '1:64: stores.hdfs.dataNodes[3]: expected a host without a port, such as dn1.example, *.example or 10.0.0.0/8',
      '1:86: stores.hdfs.namenodes[0]: a NameNode has no path: /webhdfs/v1 is added',
    ],
  ],
  [
    'credentials towards backends have one value and one place',
    `pools:
  a: { credentials: {} }
  b: { credentials: { value: "x\\n y", valueFile: k, header: "X Y" } }
  c: { credentials: { value: x, header: Host, hosts: ["h:80", "*.ok.example"], scheme: "Bearer " } }
  d: { credentials: { value: x, hosts: [10.0.0.0/8, gpu.internal] }, tls: { verify: false } }
routes: [{ pool: a }]
`,
    [
      '2:21: pools.a.credentials: has no value: name value or valueFile',
      '3:21: pools.b.credentials: has two values: name one',
      '3:30: pools.b.credentials.value: expected 1 to 16384 visible ASCII characters, without a space at either end',
      '3:61: pools.b.credentials.header: expected a header field name of letters, digits and "-"',
      '4:41: pools.c.credentials.header: no backend gets this field as it is written here',
      '4:55: pools.c.credentials.hosts[0]: expected a host without a port, such as dn1.example, *.example or 10.0.0.0/8',
      '4:88: pools.c.credentials.scheme: expected an authentication scheme, such as Bearer',
      '5:53: pools.d.credentials.hosts[1]: a name is proved by a certificate, and tls.verify is false: write addresses',
    ],
  ],
  [
    'a secret of a tier cannot be guessed, and encrypting takes one',
    `cache:
  tiers:
    - { name: a, type: redis, url: "redis://h:1", secret: hunter2 }
    - { name: b, type: memcached, servers: ["h:1"], secret: ["0123456789abcdef0123456789abcdef", "hunter2"] }
    - { name: c, type: redis, url: "redis://h:1", encrypt: true }
    - { name: d, type: redis, url: "redis://h:1", secret: 7 }
${REST}`,
    [
      '3:59: cache.tiers[0].secret: a secret has 32 characters or more: make one with "openssl rand -base64 32"',
      '4:61: cache.tiers[1].secret: a secret has 32 characters or more: make one with "openssl rand -base64 32"',
      '5:60: cache.tiers[2].encrypt: encrypts with a secret: name secret as well',
      '6:59: cache.tiers[3].secret: expected a secret, or a list of up to 4',
    ],
  ],
  [
    'origins are named as browsers send them, and any origin gets no credentials',
    `pools: { ranker: {} }
routes:
  - { name: a, cors: { origins: ["*"], credentials: true } }
  - { name: b, cors: { origins: ["*", "https://a.example"] } }
  - { name: c, cors: { origins: ["https://a.example/", "a.example", "https://*.example", "null", "HTTPS://a.example", "https://a.example:443"] } }
  - { name: d, cors: { origins: ["app://x"], methods: [get], headers: ["*"], maxAge: 2d } }
`,
    [
      '3:53: routes[0].cors.credentials: browsers send credentials to named origins only: name those in origins',
      '4:34: routes[1].cors.origins[0]: "*" is any origin: leave out the others',
      '5:34: routes[2].cors.origins[0]: expected an origin as browsers send it, such as https://app.example or http://localhost:3000',
      '5:56: routes[2].cors.origins[1]: expected an origin as browsers send it, such as https://app.example or http://localhost:3000',
      '5:69: routes[2].cors.origins[2]: expected an origin as browsers send it, such as https://app.example or http://localhost:3000',
      '5:90: routes[2].cors.origins[3]: any page can have the origin null, by a frame in a sandbox: name the page in another way',
      '5:98: routes[2].cors.origins[4]: expected an origin as browsers send it, such as https://app.example or http://localhost:3000',
      '5:119: routes[2].cors.origins[5]: expected an origin as browsers send it, such as https://app.example or http://localhost:3000',
      '6:56: routes[3].cors.methods[0]: expected methods in capitals, such as POST',
      '6:72: routes[3].cors.headers[0]: expected a header field name; every one is written out, since "*" leaves out Authorization',
      '6:86: routes[3].cors.maxAge: must be from 0s to 1d',
    ],
  ],
]
