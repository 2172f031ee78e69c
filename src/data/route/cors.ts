/**
 * What pages of other origins may do with the answers of a route (the CORS protocol of the Fetch standard). The gateway speaks
 * it for the backends: preflights end here, and what answers say of it is replaced.
 */
import { headerAll, type RawPairs } from '../../core/call.ts'

export interface CorsRules {
  /** Origins as browsers send them, or `*` alone for all. */
  readonly origins: readonly string[]
  readonly methods: readonly string[]
  /** Request header fields, besides those that need no leave. */
  readonly headers: readonly string[]
  /** Fields of answers that pages may read, besides those that need no leave. */
  readonly exposeHeaders: readonly string[]
  /** Whether pages may send cookies, certificates and HTTP authentication of the browser's own. */
  readonly credentials: boolean
  /** How long a browser remembers the answer to a preflight, in milliseconds. */
  readonly maxAge: number
}

/** Fields to be added to an answer, also as lines. */
export interface CorsFields {
  readonly pairs: RawPairs
  readonly text: string
}

export class Cors {
  readonly #rules: CorsRules
  readonly #isOpen: boolean
  /** By origin; '': any other, or none. */
  readonly #answers: ReadonlyMap<string, CorsFields>
  /** Of the lists of fields that were seen last: clients repeat theirs. */
  readonly #known = new WeakMap<RawPairs, CorsFields>()

  constructor(rules: CorsRules) {
    this.#rules = rules
    this.#isOpen = rules.origins.includes('*')
    const origins = this.#isOpen ? [''] : ['', ...rules.origins]
    this.#answers = new Map(origins.map((origin) => [origin, this.#fieldsFor(origin)]))
  }

  /** The fields of an answer to a request with these fields. */
  fields(headers: RawPairs): CorsFields {
    let fields = this.#known.get(headers)
    if (!fields) {
      const [origin = '', ...more] = headerAll(headers, 'origin')
      const answer = more.length === 0 ? this.#answers.get(origin) : undefined
      fields = answer ?? (this.#answers.get('') as CorsFields)
      this.#known.set(headers, fields)
    }
    return fields
  }

  /** The fields of the answer to a preflight with these fields. */
  preflight(headers: RawPairs): RawPairs {
    const { methods, headers: allowed, maxAge } = this.#rules
    const { pairs } = this.fields(headers)
    const isAllowed = pairs.includes('Access-Control-Allow-Origin')
    if (!isAllowed) return pairs
    return [
      ...pairs,
      ...['Access-Control-Allow-Methods', methods.join(', ')],
      ...(allowed.length === 0 ? [] : ['Access-Control-Allow-Headers', allowed.join(', ')]),
      ...['Access-Control-Max-Age', `${Math.floor(maxAge / 1000)}`],
    ]
  }

  #fieldsFor(origin: string): CorsFields {
    const { credentials, exposeHeaders } = this.#rules
    const allowed = this.#isOpen ? '*' : origin
    const pairs = [
      // Which origin asks decides what is said, so a cache behind the gateway must tell origins apart, and those without one.
      ...(this.#isOpen ? [] : ['Vary', 'Origin']),
      ...(allowed === '' ? [] : ['Access-Control-Allow-Origin', allowed]),
      ...(allowed !== '' && credentials ? ['Access-Control-Allow-Credentials', 'true'] : []),
      ...(allowed !== '' && exposeHeaders.length > 0
        ? ['Access-Control-Expose-Headers', exposeHeaders.join(', ')]
        : []),
    ]
    return { pairs, text: linesOf(pairs) }
  }
}

/** Names and values come from the settings, which allow nothing that HTTP does not. */
function linesOf(pairs: RawPairs): string {
  let text = ''
  for (let i = 0; i < pairs.length; i += 2) text += `${pairs[i]}: ${pairs[i + 1]}\r\n`
  return text
}
