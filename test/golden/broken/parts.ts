/** Fields that are right by themselves and wrong together. Each row: a name, the YAML, `line:column: message` of every problem. */

/** A valid rest, so that a row shows one problem. */
const REST = `
pools: { ranker: {} }
routes: [{}]
`

const POOLS = `pools:
  ranker: {}
  embedder: {}
`

export const parts: ReadonlyArray<readonly [name: string, yaml: string, wanted: readonly string[]]> = [
  [
    'a route to an unknown pool',
    `${POOLS}routes:\n  - pool: rankr\n`,
    ['5:11: routes[0].pool: there is no such pool (did you mean "ranker"?)'],
  ],
  [
    'a split over an unknown pool, and over one twice',
    `${POOLS}routes:\n  - split: [ { pool: rankr, weight: 1 }, { pool: ranker, weight: 1 }, { pool: ranker, weight: 2 } ]\n`,
    [
      '5:22: routes[0].split[0].pool: there is no such pool (did you mean "ranker"?)',
      '5:79: routes[0].split[2].pool: this pool is named already',
    ],
  ],
  [
    'a split that gives nothing to anybody',
    `${POOLS}routes:\n  - split: [ { pool: ranker, weight: 0 } ]\n`,
    ['5:12: routes[0].split: one weight at least must be over 0'],
  ],
  [
    'a split with a weight that is next to nothing',
    `${POOLS}routes:\n  - split: [ { pool: ranker, weight: 5.0e-324 }, { pool: embedder, weight: 1 } ]\n`,
    ['5:38: routes[0].split[0].weight: must be 0, or at least 0.000001'],
  ],
  [
    'a split beside a pool',
    `${POOLS}routes:\n  - pool: ranker\n    split: [ { pool: ranker, weight: 1 } ]\n`,
    ['5:11: routes[0].pool: the route has a split already (name its pools in split, and leave pool out)'],
  ],
  [
    'a fallback to the pool itself, to one twice, and to none',
    `${POOLS}routes:\n  - { pool: ranker, fallback: [ranker, embedder, embedder, embeder] }\n`,
    [
      '5:32: routes[0].fallback[0]: this is the pool that it would stand in for (name another pool)',
      '5:50: routes[0].fallback[2]: this pool is named already',
      '5:60: routes[0].fallback[3]: there is no such pool (did you mean "embedder"?)',
    ],
  ],
  [
    'sticky without a split',
    `${POOLS}routes:\n  - pool: ranker\n    sticky: caller\n`,
    ['6:13: routes[0].sticky: the route has no split (leave it out, or write split)'],
  ],
  [
    'a route to a pool far from all',
    `${POOLS}routes:\n  - pool: x\n`,
    ['5:11: routes[0].pool: there is no such pool (pools: ranker, embedder)'],
  ],
  [
    'a route without a pool where there are two',
    `${POOLS}routes: [{}]\n`,
    ['4:10: routes[0].pool: is required (pools: ranker, embedder)'],
  ],
  [
    'two routes without names',
    `pools: { a: {} }\nroutes:\n  - match: { path: /x }\n  - {}\n`,
    [
      '3:5: routes[0].name: is required (with several routes each has a name: it is part of every key)',
      '4:5: routes[1].name: is required (with several routes each has a name: it is part of every key)',
    ],
  ],
  [
    'two routes of one name',
    `pools: { a: {} }\nroutes:\n  - name: x\n  - name: x\n`,
    ['4:11: routes[1].name: another route has this name'],
  ],
  [
    'two tiers of one name',
    `cache: { tiers: [{ name: m, type: memory }, { name: m, type: redis, url: "redis://h" }] }${REST}`,
    ['1:53: cache.tiers[1].name: another tier has this name'],
  ],
  [
    'memory behind another tier',
    `cache: { tiers: [{ name: r, type: redis, url: "redis://h" }, { name: m, type: memory }] }${REST}`,
    ['1:79: cache.tiers[1].type: the memory tier is the first'],
  ],
  [
    'two memory tiers',
    `cache: { tiers: [{ name: m, type: memory }, { name: n, type: memory }] }${REST}`,
    ['1:62: cache.tiers[1].type: there is only one memory tier'],
  ],
  [
    'a learnt curve without the time a call may take',
    `pools: { a: { limits: { mode: curve } } }\nroutes: [{}]\n`,
    ['1:31: pools.a.limits.mode: curve needs limits.serviceTime, or the pool needs slo.p95'],
  ],
  [
    'two backends of one URL',
    `pools:\n  a:\n    backends:\n      - url: http://h:1\n      - url: http://h:1/\nroutes: [{}]`,
    ['5:14: pools.a.backends[1].url: another backend of this pool has this id (give it an id of its own)'],
  ],
  [
    'a token for an unknown pool',
    `admin: { tokens: [{ name: t, hash: "sha256:${'0'.repeat(64)}", scopes: ["register:rankr"] }] }${REST}`,
    ['1:120: admin.tokens[0].scopes[0]: there is no such pool (did you mean "ranker"?)'],
  ],
  [
    'a model with the name of a pool',
    'models: [{ name: a, source: "https://h/a.onnx" }]\npools: { a: {} }\n',
    ['1:18: models[0].name: a pool has this name; an embedded model is a pool of its own'],
  ],
  [
    'a route with the name of a model',
    'models: [{ name: a, source: "https://h/a.onnx" }]\nroutes: [{ name: a }]\n',
    ['2:18: routes[0].name: an embedded model has this name, and brings a route of it'],
  ],
  [
    'a model that is not there',
    'models:\n  - name: a\n    source: nowhere/a.onnx\n',
    ['3:13: models[0].source: there is no such file (a path starts from this YAML)'],
  ],
  [
    'a model in HDFS whose NameNode nobody knows',
    'models:\n  - name: a\n    source: hdfs://cluster/models/a\n',
    [
      '3:13: models[0].source: no NameNode is known for hdfs:// (name them in stores.hdfs.namenodes, such as http://namenode:9870, or write webhdfs://)',
    ],
  ],
  [
    'places kept for tenants that nobody has counted, and a weight of nothing',
    `auth: { keysFile: keys.json }
tenants:
  a: { weight: 0, priority: high, floor: 2 }
  "*": { floor: 1 }
${REST}`,
    [
      '3:16: tenants.a.weight: must be at least 0.01',
      '3:29: tenants.a.priority: expected one of critical, standard, sheddable',
      '4:17: tenants["*"].floor: places are kept for tenants that are named (give a tenant of its own name a floor, or leave it out here)',
    ],
  ],
  [
    'an embedding model of a store, and settings of one that takes tensors',
    `models:
  - { name: a, kind: embedding, source: "s3://models/a" }
  - name: b
    source: https://example.com/b.onnx
    embedding: { pooling: cls }
`,
    [
      '2:41: models[0].source: an embedding model is read from a folder, with its tokenizer (copy the folder to this machine and give its path)',
      '5:16: models[1].embedding: the model takes tensors (add kind: embedding)',
    ],
  ],
  [
    'half of a promise of tokens, and both kinds of promise',
    `pools:
  a: { slo: { ttft: 300ms } }
  b: { slo: { p95: 1s, ttft: 300ms, itl: 50ms } }
routes: [{ pool: a }]
`,
    [
      '2:13: pools.a.slo: write p95 alone, or ttft and itl together',
      '3:13: pools.b.slo: write p95 alone, or ttft and itl together',
    ],
  ],
]
