/**
 * Reads the answers of the admin API that the commands use. Anybody may listen at the address that a command was given, or a
 * proxy may stand in between, so an answer is checked before anything is printed from it. Members that are not listed are kept.
 */
import * as z from 'zod'

/** Undefined: this is no such answer. */
export type AdminAnswerReader<T> = (answer: unknown) => T | undefined

function reader<S extends z.ZodType>(schema: S): AdminAnswerReader<z.output<S>> {
  return (answer) => schema.safeParse(answer).data
}

const Backend = z.looseObject({
  id: z.string(),
  url: z.string().optional(),
  grpc: z.string().optional(),
  state: z.string(),
  reason: z.string(),
  /** Its state with ejections, slow start and limits taken into account. */
  effective: z.exactOptional(z.looseObject({ state: z.string(), reason: z.string() })),
  inflight: z.number(),
  limit: z.exactOptional(z.number()),
  peers: z.exactOptional(z.number()),
  share: z.exactOptional(z.number()),
  latencyMs: z.exactOptional(z.number()),
  weight: z.number(),
  leaseRemainingMs: z.exactOptional(z.number()),
  source: z.string(),
})

const Pool = z.looseObject({
  pool: z.string(),
  preservation: z.exactOptional(z.string()),
  traffic: z.exactOptional(
    z.looseObject({
      queued: z.exactOptional(z.number()),
      retriesLeft: z.exactOptional(z.number()),
      panic: z.exactOptional(z.boolean()),
      failing: z.exactOptional(z.boolean()),
    }),
  ),
  backends: z.array(Backend),
})

const Lease = z.looseObject({ generation: z.number(), ttlMs: z.number(), renewAfterMs: z.number() })

const Scale = z.looseObject({
  pool: z.string(),
  ready: z.number(),
  starting: z.number(),
  min: z.number(),
  max: z.number(),
  sentence: z.string(),
  speaks: z.string(),
  demand: z.record(z.string(), z.unknown()),
})

const Explanation = z.looseObject({
  route: z.string(),
  pool: z.string(),
  protocol: z.string(),
  verb: z.string(),
  mirror: z.exactOptional(z.looseObject({ pool: z.string(), share: z.number() })),
  sent: z.exactOptional(z.looseObject({ path: z.string(), host: z.exactOptional(z.string()) })),
  model: z.exactOptional(z.string()),
  version: z.exactOptional(z.string()),
  cacheable: z.boolean(),
  reason: z.exactOptional(z.string()),
  key: z.exactOptional(z.string()),
  rows: z.exactOptional(z.array(z.looseObject({ tier: z.exactOptional(z.string()) }))),
  rowCount: z.exactOptional(z.number()),
  kept: z.exactOptional(z.looseObject({ tier: z.string(), ageMs: z.number(), ttlMs: z.number() })),
})

const MirrorCounts = z.looseObject({
  sent: z.number(),
  failed: z.number(),
  dropped: z.record(z.string(), z.number()),
  equal: z.number(),
  different: z.number(),
})

const Mirror = z.looseObject({
  pool: z.string(),
  share: z.number(),
  compare: z.boolean(),
  counts: z.exactOptional(MirrorCounts),
})

const Route = z.looseObject({
  route: z.string(),
  sticky: z.exactOptional(z.string()),
  pools: z.array(
    z.looseObject({
      pool: z.string(),
      weight: z.exactOptional(z.number()),
      configured: z.exactOptional(z.number()),
    }),
  ),
  mirror: z.exactOptional(Mirror),
})

const Warming = z.looseObject({
  id: z.string(),
  route: z.string(),
  state: z.string(),
  said: z.string(),
  progress: z.looseObject({
    done: z.number(),
    total: z.exactOptional(z.number()),
    stored: z.number(),
    present: z.number(),
    failed: z.number(),
    rate: z.number(),
    paused: z.exactOptional(z.string()),
  }),
})

const Said = z.looseObject({ at: z.string(), sentence: z.string() })

const Rollout = z.looseObject({
  route: z.string(),
  from: z.string(),
  to: z.string(),
  phase: z.string(),
  isOver: z.boolean(),
  isPaused: z.boolean(),
  sharePercent: z.number(),
  sentence: z.string(),
  history: z.array(Said),
})

const Counts = z.record(z.string(), z.number())

const Tenant = z.looseObject({
  tenant: z.string(),
  calls: Counts,
  hits: Counts,
  rows: z.object({ hit: z.number(), join: z.number(), miss: z.number(), dup: z.number() }),
  // Gateways of earlier versions have none.
  tokens: Counts.default({}),
  savedTokens: Counts.default({}),
  refused: Counts,
})

export type BackendRow = z.output<typeof Backend>
export type PoolRow = z.output<typeof Pool>
export type LeaseReply = z.output<typeof Lease>
export type ScaleRow = z.output<typeof Scale>
export type ExplainAnswer = z.output<typeof Explanation>
export type RouteRow = z.output<typeof Route>
export type WarmingRow = z.output<typeof Warming>
export type RolloutRow = z.output<typeof Rollout>
export type TenantRow = z.output<typeof Tenant>

export const readPool = reader(Pool)
export const readPools = reader(z.looseObject({ pools: z.array(Pool) }))
export const readLease = reader(Lease)
/** What a renewal, a drain or a removal says of the backend. */
export const readState = reader(z.looseObject({ state: z.string() }))
export const readRemoval = reader(z.looseObject({ inflight: z.number() }))
export const readScale = reader(Scale)
export const readScales = reader(z.looseObject({ pools: z.array(Scale) }))
export const readRoute = reader(Route)
export const readRoutes = reader(z.looseObject({ routes: z.array(Route) }))
export const readWarming = reader(Warming)
export const readWarmFeeding = reader(z.looseObject({ accepted: z.number(), warming: Warming }))
export const readRollout = reader(Rollout)
export const readRollouts = reader(z.looseObject({ rollouts: z.array(Rollout) }))
export const readDryRun = reader(z.looseObject({ from: z.string(), sentences: z.array(z.string()) }))
export const readTenant = reader(Tenant)
export const readTenants = reader(z.looseObject({ tenants: z.array(Tenant), unidentified: Counts }))
export const readExplanation = reader(Explanation)
export const readPurge = reader(
  z.looseObject({
    unreachable: z.array(z.string()),
    /** Purged names that the gateway does not know: a typing error, or a model that was never called. */
    unknown: z.exactOptional(z.array(z.string())),
    /** False: the text after `--key` is no valid key. */
    known: z.exactOptional(z.boolean()),
  }),
)

const Call = z.looseObject({
  time: z.string(),
  event: z.literal('call'),
  requestId: z.string(),
  traceId: z.exactOptional(z.string()),
  peer: z.string(),
  tenant: z.exactOptional(z.string()),
  route: z.exactOptional(z.string()),
  protocol: z.exactOptional(z.string()),
  model: z.exactOptional(z.string()),
  method: z.string(),
  path: z.string(),
  status: z.number(),
  fault: z.exactOptional(z.string()),
  outcome: z.string(),
  rows: z.number(),
  bytes: z.looseObject({ in: z.number(), out: z.number() }),
  ms: z.number(),
  stages: z.record(z.string(), z.number()),
  attempts: z.array(
    z.looseObject({ backend: z.string(), ending: z.string(), at: z.number(), ms: z.number() }),
  ),
})

/** A line of the access log. */
export const readCall: AdminAnswerReader<z.output<typeof Call>> = reader(Call)

export const readCalls: AdminAnswerReader<{ readonly calls: readonly z.output<typeof Call>[] }> = reader(
  z.looseObject({ calls: z.array(Call) }),
)
