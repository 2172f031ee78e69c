/**
 * The key of a refusal (a 4xx answer). A success is the same for everybody who sends the same request; a refusal may be due
 * to anything that the server sees: a head too long, a method's name in capitals, a media type, white space by the
 * megabyte. So a refusal is stored for, and shared by, only calls that look the same to a backend, byte for byte, apart
 * from tracing fields.
 */
import { type Call, type RawPairs, upstreamMethod } from '../../core/call.ts'
import { FieldTable, TRACING_FIELDS } from '../../core/fields.ts'
import { type Digest, digestOf } from '../../core/key.ts'

const TRACING = new FieldTable(TRACING_FIELDS.map((name) => [name, true] as const))
/** A longer tracing field may be the reason of the refusal. */
const MAX_TRACING = 256
/** The gateway does not send it where the answer is to be shared. */
const NOT_SENT = 'accept-encoding'

/**
 * `raw`: the digest of seed and body as they came; `sent`: the fields that go to the backend. Undefined: no other call
 * can be known to look the same.
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
