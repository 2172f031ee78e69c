/** The schema of what a route changes of a call on its way: path, Host and header fields. */
import * as z from 'zod'
import { CHOOSING_FIELDS, CREDENTIAL_FIELDS, folded, HOP_FIELDS, REPLACED_FIELDS } from '../../core/fields.ts'
import { ambiguity } from '../../core/path.ts'
import { refuse } from './fields.ts'

const PATH_HINT = 'expected whole segments of a path, such as /team-a'

const path = z
  .string()
  .regex(/^\/[!$&-.0-;=@-Z_a-z~%/]*$/, { error: PATH_HINT })
  .refine((given) => ambiguity(given) === undefined && !given.includes('//') && !BROKEN_ESCAPE.test(given), {
    error: 'no call has such a path: dot segments, encoded slashes and two slashes in a row are refused',
  })

const BROKEN_ESCAPE = /%(?![0-9a-f]{2})/i

export const rewrite = z
  .strictObject({
    prefix: path
      .exactOptional()
      .describe('What the paths begin with that are rewritten; whole segments. Other paths stay.'),
    to: z
      .union([z.literal(''), path])
      .exactOptional()
      .describe('What takes the place of `prefix`; left out: nothing.'),
    host: z
      .string()
      .toLowerCase()
      .regex(/^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/, {
        error: 'expected a host name, such as models.example',
      })
      .exactOptional()
      .describe("The Host that backends get, instead of that of their URL or the caller's."),
  })
  .superRefine(({ prefix, to, host }, ctx) => {
    if (prefix === undefined && host === undefined) refuse(ctx, 'nothing is rewritten: write prefix, or host')
    if (prefix === undefined && to !== undefined)
      refuse(ctx, 'there is no prefix that it would replace', ['to'])
  })

const MAX_FIELDS = 32

/** Fields that say how a body is to be read, which answer is wanted, or how long the caller waits; of gRPC and WebSocket, any. */
const OF_MESSAGES = /^(?:content-|grpc-|if-|sec-websocket-|accept-encoding$|range$|inference-header-)/
/** Fields that name a call for logs and traces. */
const OF_CALLS = new Set(['x-request-id', 'traceparent', 'tracestate'])
const DEADLINES = new Set(['x-request-deadline-ms', 'x-envoy-expected-rq-timeout-ms', 'x-slo-ttft-ms'])
const HOPS = new Set([...HOP_FIELDS, ...REPLACED_FIELDS])
const CREDENTIALS = new Set(CREDENTIAL_FIELDS)
const CHOOSING = new Set(CHOOSING_FIELDS)
/** Fields of answers that the cache reads, or that the gateway says. */
const OF_CACHES = new Set([
  'age',
  'cache-control',
  'cache-status',
  'date',
  'etag',
  'expires',
  'last-modified',
  'location',
  'pragma',
  'proxy-status',
  'retry-after',
  'server-timing',
  'set-cookie',
  'vary',
  'www-authenticate',
])

/** Why a field may not be changed; undefined: it may. */
type RefusedField = (name: string, isRemoved: boolean) => string | undefined

const ofRequests: RefusedField = (name, isRemoved) => {
  if (name === 'host') return 'the Host is rewritten by rewrite: { host: … }'
  if (HOPS.has(name)) return 'the gateway writes this field for each connection itself'
  if (OF_MESSAGES.test(name)) return 'the field says how the message is to be read'
  if (OF_CALLS.has(name) || DEADLINES.has(name)) return 'the gateway writes this field itself'
  if (CREDENTIALS.has(name) && !isRemoved)
    return 'a credential would stand in the open here: use the "credentials" of the pool'
  if (CHOOSING.has(name) && isRemoved) return 'the field chooses the answer, and is in every key'
  return undefined
}

const ofAnswers: RefusedField = (name) => {
  if (HOPS.has(name) || OF_MESSAGES.test(name)) return 'the gateway frames answers itself'
  if (OF_CALLS.has(name) || OF_CACHES.has(name))
    return "the field means something to the cache, or is the gateway's own"
  if (name.startsWith('access-control-')) return 'what browsers ask for is said by "cors"'
  return undefined
}

const fieldName = z
  .string()
  .toLowerCase()
  .regex(/^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$/, { error: 'expected a header field name' })
/** Printable ASCII: what ends a line, or is no text, would be another field. */
const fieldValue = z
  .string()
  .max(4096)
  .regex(/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/, {
    error: 'expected printable ASCII without space around it',
  })

const changes = (refusal: RefusedField) => {
  const name = (isRemoved: boolean) =>
    fieldName.superRefine((given, ctx) => {
      const why = refusal(folded(given), isRemoved)
      if (why !== undefined) refuse(ctx, why)
    })
  const fields = z.record(name(false), fieldValue).prefault({})
  return z
    .strictObject({
      set: fields.describe('Fields that take the place of any with the name.'),
      add: fields.describe('Fields beside any with the name.'),
      remove: z.array(name(true)).prefault([]).describe('Names of fields that are taken away.'),
    })
    .superRefine(({ set, add, remove }, ctx) => {
      const names = [...Object.keys(set), ...Object.keys(add), ...remove]
      if (names.length > MAX_FIELDS) refuse(ctx, `at most ${MAX_FIELDS} fields`)
      const twice = names.find((name, at) => names.indexOf(name) < at)
      if (twice !== undefined) refuse(ctx, `the field ${twice} is changed more than once`)
    })
}

export const headers = z.strictObject({
  request: changes(ofRequests).exactOptional().describe('Of what backends get.'),
  response: changes(ofAnswers).exactOptional().describe('Of what callers get: hits and errors as well.'),
})
