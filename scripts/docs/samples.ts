/**
 * One YAML fragment a block, shown in the reference; a test resolves each of them.
 */
export const SAMPLES: Readonly<Record<string, string>> = {
  server: `server:
  listen: 0.0.0.0:8080
  limits:
    maxBodyBytes: 16MiB
    requestTimeout: 20s
  trustedProxies: [10.0.0.0/8]
`,
  admin: `admin:
  listen: 0.0.0.0:9090
  hosts: [gateway.internal]
  openMetrics: true
  tokens:
    - name: deploy
      hash: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      scopes: [read, purge, "register:ranker"]
`,
  log: `log:
  level: warn
  access: { sample: 1%, slow: 500ms }
`,
  cache: `cache:
  tiers:
    - { name: memory, type: memory, maxBytes: 512MiB }
    - { name: redis, type: redis, url: "\${REDIS_URL:-redis://127.0.0.1:6379}", readTimeout: 25ms }
    - { name: memcached, type: memcached, servers: [127.0.0.1:11211] }
  defaults:
    ttl: 12h
    staleIfError: 10m
`,
  auth: `auth:
  keys:
    - { name: app-1, tenant: mobile, hash: "sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8" }
  keysFile: keys.yaml
  jwt:
    - issuer: https://idp.example/
      audience: infergate
      jwks: https://idp.example/jwks.json
      tenant: claim.team
      tenants: [research, "team-*"]
  mtls: { tenant: san.dns, tenants: ["*.internal"] }
  trustedProxies: { from: [10.0.0.0/8], tenant: x-auth-tenant, subject: x-auth-user, tenants: ["*"] }
`,
  tracing: `tracing:
  otlp: http://collector:4318/v1/traces
  sample: 1%
`,
  tenants: `tenants:
  mobile:
    rate: { requests: 100/s, rows: 5k/s, burst: 2s }
    concurrency: 64
    models: [ranker, "embed-*"]
    backends: { tier: gold }
  "*": { rate: { requests: 10/s } }
`,
  pools: `pools:
  ranker:
    backends:
      - { url: "http://10.0.0.4:8501" }
      - { url: "http://10.0.0.5:8501", weight: 2 }
    health: { interval: 2s }
    slo: { p95: 200ms }
    scale: { min: 2, max: 20, emit: [{ type: webhook, url: "https://ops.example/scale" }] }
`,
  routes: `routes:
  - name: ranker
    match: { path: "/v1/models/*:predict", method: POST }
    pool: ranker
    cache: { ttl: 10m, vary: [x-locale], tags: [ranking] }
    batch: { maxRows: 64, maxDelay: 2ms }
  - name: everything-else
    pool: ranker
    protocol: opaque
`,
  models: `models:
  - name: digits
    source: ../models/digits.onnx
    replicas: { min: 1, max: 4 }
    cache: { ttl: 7d, scope: shared }
`,
  stores: `stores:
  dir: /var/lib/infergate
  hdfs:
    namenodes: ["https://nn1.example:9871", "https://nn2.example:9871"]
    user: infergate
    dataNodes: ["*.dn.example"]
  s3: { endpoint: "https://s3.example", region: eu-central-1 }
`,
}
