/** The gateway with everything switched on: limits, metrics, deadlines, health checks, scaling, cache rules. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { callerSettings } from '../caller-settings.ts'
import { certificate } from '../certificate.ts'
import type { Place } from '../place.ts'
import { freePort, LOAD_CORE, listening, type Pinned, start } from '../process.ts'

export interface Variant {
  /** Where answers are kept; `none`: the route does not cache. */
  readonly tier: 'memory' | 'redis' | 'none'
  readonly workers: number
  readonly tls: boolean
  /** Tenants, with ten keys each; undefined: nobody is asked who they are. */
  readonly tenants: number | undefined
  /** The format of the prediction log; undefined: the route has none. */
  readonly log?: 'jsonl' | 'tfrecord'
}

export const MAIN = join(import.meta.dirname, '..', '..', '..', 'src', 'main.ts')

export async function startInfergate(place: Place, variant: Variant): Promise<Pinned[]> {
  const redis = variant.tier === 'redis' ? await startRedis(place.folder) : undefined
  const file = join(place.folder, 'infergate.yaml')
  writeFileSync(file, settings(place, variant, redis?.port))
  const args = [...place.nodeArgs, MAIN, 'serve', '--config', file]
  const gateway = start({ core: place.cores, command: process.execPath, args })
  return redis ? [gateway, redis.process] : [gateway]
}

function settings(
  place: Place,
  { tier, workers, tls, tenants, log }: Variant,
  redisPort: number | undefined,
): string {
  const { folder, port, backendPort, cacheMiB, rows } = place
  const tiers = {
    memory: `cache: { tiers: [ { name: memory, type: memory, maxBytes: ${cacheMiB}MiB } ] }`,
    redis: `cache: { tiers: [ { name: redis, type: redis, url: "redis://127.0.0.1:${redisPort}", readTimeout: 1s } ] }`,
    none: '',
  }
  const cache = tier === 'none' ? '' : `, cache: { enabled: true, ttl: 1h, rows: ${rows} }`
  const logged = log === undefined ? '' : `, log: { to: ${logFolder(place)}, format: ${log} }`
  return `server: { listen: "127.0.0.1:${port}", workers: ${workers}${tls ? tlsBlock(folder) : ''} }
admin: { listen: "127.0.0.1:0" }
log: { level: warn }
${tiers[tier]}
${tenants === undefined ? '' : callerSettings(folder, tenants)}
pools:
  bench:
    backends: [ { url: "http://127.0.0.1:${backendPort}" } ]
    health: { path: / }
routes:
  - { name: bench, pool: bench, protocol: tfserving${cache}${logged} }
`
}

function tlsBlock(folder: string): string {
  const { cert, key } = certificate(folder)
  return `, tls: { certificates: [ { cert: ${cert}, key: ${key} } ] }`
}

function logFolder({ folder }: Place): string {
  const to = join(folder, 'predictions')
  mkdirSync(to)
  return to
}

/** Beside the load, not beside the gateway: whoever has a Redis has it on another core. */
async function startRedis(folder: string): Promise<{ port: number; process: Pinned }> {
  const port = await freePort()
  const lasting = ['--save', '', '--appendonly', 'no']
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, ...lasting]
  const process = start({ core: LOAD_CORE, command: 'redis-server', args })
  await listening(port, process)
  return { port, process }
}
