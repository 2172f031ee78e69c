/**
 * Asks a server what it speaks and which models it has, by the calls that each dialect has for that. All questions go out at once, each
 * with a deadline and a bound; redirects are not followed.
 */
import { createProbe, type Probe, type ProbeResult } from '../../control/health/probe.ts'
import { createAddressRules } from '../../core/addresses.ts'

export type DetectedDialect = 'openai' | 'oip' | 'torchserve' | 'tfserving'

export interface FoundServer {
  /** As it was given, without a trailing slash; with `http` or `https` in place of `grpc` or `grpcs`. */
  readonly url: string
  readonly isGrpc: boolean
  readonly dialects: readonly DetectedDialect[]
  /** In the order in which the server lists them; empty where it lists none. */
  readonly models: readonly string[]
  /** Why nothing is known of it; undefined: it answered. */
  readonly trouble?: string
}

const TIMEOUT_MS = 3_000
/** A list of a thousand models is some hundred kilobytes. */
const MAX_BODY_BYTES = 1024 * 1024
/** No server has it: TensorFlow Serving, which lists no models, is known by how it says that. */
const UNKNOWN_MODEL = 'infergate-init-asks'

/** What the person at the shell names may be anywhere. */
const probe: Probe = createProbe(createAddressRules({ allow: ['0.0.0.0/0', '::/0'] }))

/** Never rejects. `url` is http, https, grpc or grpcs. */
export function detect(url: string): Promise<FoundServer> {
  const [, secure, rest] = /^grpc(s?):\/\/(.*)$/i.exec(url) ?? []
  return rest === undefined ? detectHttp(url) : detectGrpc(`http${secure?.toLowerCase()}://${rest}`)
}

async function detectGrpc(url: string): Promise<FoundServer> {
  const ask = (path: string) => asked({ url, path, transport: 'grpc' })
  const [ready, index] = await Promise.all([ask('/v2/health/ready'), ask('/v2/repository/index')])
  if (ready.kind !== 'status')
    return { url, isGrpc: true, dialects: [], models: [], trouble: troubleOf(ready) }
  const models = namesIn(jsonOf(index), 'name')
  return { url, isGrpc: true, dialects: models === undefined ? [] : ['oip'], models: models ?? [] }
}

async function detectHttp(url: string): Promise<FoundServer> {
  const ask = (path: string, json?: string) => asked({ url, path, ...(json === undefined ? {} : { json }) })
  const [root, metadata, index, listed, ping, unknown] = await Promise.all([
    ask('/'),
    ask('/v2'),
    ask('/v2/repository/index', '{}'),
    ask('/v1/models'),
    ask('/ping'),
    ask(`/v1/models/${UNKNOWN_MODEL}`),
  ])
  if (root.kind !== 'status')
    return { url, isGrpc: false, dialects: [], models: [], trouble: troubleOf(root) }
  const { data, models: v1 } = recordOf(jsonOf(listed))
  const isOpenAi = Array.isArray(data)
  const found: readonly (readonly [DetectedDialect, boolean, readonly string[]])[] = [
    ['openai', isOpenAi, namesIn(data, 'id') ?? []],
    ['oip', Array.isArray(recordOf(jsonOf(metadata))['extensions']), namesIn(jsonOf(index), 'name') ?? []],
    ['torchserve', /healthy/i.test(String(recordOf(jsonOf(ping))['status'])), []],
    [
      'tfserving',
      Array.isArray(v1) || (!isOpenAi && saysUnknown(unknown)),
      Array.isArray(v1) ? v1.filter(isText) : [],
    ],
  ]
  const spoken = found.filter(([, isSpoken]) => isSpoken)
  return {
    url,
    isGrpc: false,
    dialects: spoken.map(([dialect]) => dialect),
    models: [...new Set(spoken.flatMap(([, , models]) => models))],
  }
}

function asked(request: {
  url: string
  path: string
  json?: string
  transport?: 'grpc'
}): Promise<ProbeResult> {
  return probe({ ...request, timeoutMs: TIMEOUT_MS, maxBodyBytes: MAX_BODY_BYTES })
}

function troubleOf(result: ProbeResult): string {
  return 'message' in result ? result.message : result.kind
}

/** A 404 as V1 has it: an object with an `error` that names the model. */
function saysUnknown(result: ProbeResult): boolean {
  const { error } = recordOf(jsonOf(result, 404))
  return isText(error) && error.includes(UNKNOWN_MODEL)
}

/** What a status answer holds; undefined for any other answer, and for what is no JSON. */
function jsonOf(result: ProbeResult, status = 200): unknown {
  if (result.kind !== 'status' || result.status !== status) return undefined
  try {
    return JSON.parse(Buffer.from(result.body, 'latin1').toString('utf8')) as unknown
  } catch {
    return undefined
  }
}

function namesIn(list: unknown, member: string): readonly string[] | undefined {
  if (!Array.isArray(list)) return undefined
  return list.map((each: unknown) => recordOf(each)[member]).filter(isText)
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

const recordOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? { ...value } : {}
