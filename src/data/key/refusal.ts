/**
 * The key of a refusal. What a server answers well it answers so to everybody who asks the same; what it refuses it may
 * refuse for anything it sees: a head too long, a method's name in capitals, a media type, white space by the megabyte. So
 * a refusal is told, and kept, only to calls that look the same to a backend, byte for byte, but for what merely says
 * which call this is.
 */
import { type Call, type RawPairs, upstreamMethod } from '../../core/call.ts'
import { FieldTable, TRACING_FIELDS } from '../../core/fields.ts'
import { type Digest, digestOf } from '../../core/key.ts'

const TRACING = new FieldTable(TRACING_FIELDS.map((name) => [name, true] as const))
/** A longer one may be what is refused. */
const MAX_TRACING = 256
/** What an answer that is to be shared is not asked with. */
const NOT_SENT = 'accept-encoding'

/**
 * `raw`: the digest of seed and body as they came; `sent`: the fields that go to the backend. Undefined: no two calls are
 * known to look like this one.
 */
export function refusalKey(call: Call, raw: Digest, sent: RawPairs): Digest | undefined {
  let preimage = `refusal${raw}${measured(upstreamMethod(call))}${measured(call.path + call.query)}`
  for (let i = 0; i < sent.length; i += 2) {
    const name = sent[i] as string
    const value = sent[i + 1] as string
    if (TRACING.get(name)) {
      if (value.length > MAX_TRACING) return undefined
      continue
    }
    if (name.toLowerCase() !== NOT_SENT) preimage += measured(name) + measured(value)
  }
  return digestOf(preimage)
}

/** With its length before it, so that no two lists of texts are the same text. */
function measured(text: string): string {
  return `${text.length}:${text}`
}
