/** Schemas of the admin API's request bodies, with a bound for every value. */
import { BOUNDS } from '../registry/registration.ts'
import { Problem } from './problem.ts'
import {
  base64,
  flag,
  list,
  number,
  object,
  oneOf,
  readAll,
  record,
  text,
  withEither,
  yes,
} from './validate.ts'

/** An explained call carries its whole body. */
export const EXPLAIN_BYTES = 8 * 1024 * 1024
const MAX_TAGS = 64

const name = text({
  max: BOUNDS.nameLength,
  pattern: /^[^\s\x00-\x1f\x7f]+$/,
  what: 'must not be empty or have spaces',
})
/** Names of models and versions; they may contain spaces, as paths may. */
const modelName = text({
  max: BOUNDS.nameLength,
  pattern: /^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$/,
  what: 'must not be blank or have control characters',
})
const weight = number({ min: 0.01, max: BOUNDS.maxWeight })
const models = list(
  object({
    name: modelName,
    version: modelName.exactOptional(),
    digest: name.exactOptional(),
    maxBatch: number({ min: 1, max: 1_000_000, integer: true }).exactOptional(),
  }),
  BOUNDS.models,
)

export const registrationBody = withEither(
  object({
    url: text({ max: BOUNDS.urlLength }).exactOptional(),
    grpc: text({ max: BOUNDS.urlLength }).exactOptional(),
    epoch: number({ min: 0, max: Number.MAX_SAFE_INTEGER, integer: true }).exactOptional(),
    models: models.exactOptional(),
    weight: weight.exactOptional(),
    zone: name.exactOptional(),
    capacity: object({
      concurrency: number({ min: 1, max: 1_000_000, integer: true }).exactOptional(),
    }).exactOptional(),
    lease: object({ ttlMs: number({ min: 1, max: 86_400_000 }).exactOptional() }).exactOptional(),
    labels: record(text({ max: BOUNDS.labelLength }), {
      max: BOUNDS.labels,
      nameLength: BOUNDS.labelLength,
    }).exactOptional(),
  }),
  'url',
  'grpc',
)

export const renewalBody = object({
  generation: number({ min: 0, max: Number.MAX_SAFE_INTEGER, integer: true }),
  load: record(number({ min: 0, max: Number.MAX_SAFE_INTEGER }), { max: 16, nameLength: 64 }).exactOptional(),
})

export const patchBody = object({
  weight: weight.exactOptional(),
  models: models.exactOptional(),
  state: oneOf('draining', 'ready').exactOptional(),
})

export const routeBody = object({
  weights: record(number({ min: 0, max: 1_000_000 }), { max: 64, nameLength: 64 }).exactOptional(),
  mirror: object({
    pool: text({ max: 64 }).exactOptional(),
    share: number({ min: 0, max: 1 }).exactOptional(),
    compare: flag.exactOptional(),
  }).exactOptional(),
})

const explained = object({
  method: text({ max: 32, pattern: /^[A-Za-z]+$/, what: 'must be an HTTP method' }),
  path: text({ max: 16_384, pattern: /^\//, what: 'must begin with /' }),
  headers: record(text({ max: 16_384 }), { max: 256, nameLength: 256 }).exactOptional(),
  body: text({ max: EXPLAIN_BYTES }).exactOptional(),
  bodyBase64: base64({ max: EXPLAIN_BYTES }).exactOptional(),
})

export interface ExplainRequest {
  readonly method: string
  /** With the query, as in the request line. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

/** Throws a Problem 400, also where the body is given in two forms. */
export function readExplain(body: unknown): ExplainRequest {
  const { bodyBase64: bytes, ...given } = readAll(explained, body)
  if (bytes === undefined) return given
  if (given.body !== undefined) throw new Problem(400, 'give "body" or "bodyBase64", not both')
  return { ...given, body: bytes }
}

/**
 * What to make unreachable: everything that matches any given member (a version counts with its model), or everything.
 */
export type PurgeRequest = PurgeSelection | { readonly all: true }

export interface PurgeSelection {
  readonly model?: string
  readonly version?: string
  readonly route?: string
  readonly tags?: readonly string[]
  readonly key?: string
}

const selection = object({
  model: modelName.exactOptional(),
  version: modelName.exactOptional(),
  route: name.exactOptional(),
  tags: list(name, MAX_TAGS).exactOptional(),
  key: name.exactOptional(),
  all: yes.exactOptional(),
})

/** Throws a Problem 400 for a body that selects nothing, or everything and something. */
export function readPurge(body: unknown): PurgeRequest {
  const { all, ...given } = readAll(selection, body)
  const selects = Object.values(given).some((value) => !Array.isArray(value) || value.length > 0)
  if (all && selects) throw new Problem(400, '"all" stands alone: leave the others out')
  if (all) return { all }
  if (!selects)
    throw new Problem(400, 'say what to purge: model, version, route, tags or key, or {"all": true}')
  if (given.version !== undefined && given.model === undefined) {
    throw new Problem(400, '"version" needs the "model" it is of')
  }
  return given
}
