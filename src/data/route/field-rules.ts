/** Changes of header fields on a route: of those that backends get, and of those that callers get. The settings allow no field that the gateway itself lives by. */
import type { RawPairs } from '../../core/call.ts'
import { folded } from '../../core/fields.ts'
import { lastOf } from '../../lib/memo.ts'
import type { CorsFields } from './cors.ts'

export interface FieldChanges {
  /** In place of whatever has the name. */
  readonly set: Readonly<Record<string, string>>
  /** Beside it. */
  readonly add: Readonly<Record<string, string>>
  /** Names, lower case. */
  readonly remove: readonly string[]
}

/** Applies changes to lists of fields, and remembers the result: heads repeat with their clients. */
export class FieldRules {
  /** The fields that are there in any case. */
  readonly added: CorsFields
  /** All that the rules say, and the names that they take away; for keys. */
  readonly text: string
  readonly taken: string
  readonly #dropped: ReadonlySet<string>
  readonly #known = new WeakMap<RawPairs, RawPairs>()

  constructor({ set, add, remove }: FieldChanges) {
    const pairs = [...Object.entries(set), ...Object.entries(add)].flat()
    this.added = { pairs, text: linesOf(pairs) }
    this.#dropped = new Set([...Object.keys(set), ...remove].map(folded))
    this.text = JSON.stringify([set, add, remove])
    this.taken = [...this.#dropped].sort().join()
  }

  /** The fields with all changes. */
  applied(fields: RawPairs): RawPairs {
    const known = this.#known.get(fields)
    if (known) return known
    const changed = [...this.without(fields), ...this.added.pairs]
    this.#known.set(fields, changed)
    return changed
  }

  /** The fields without those that are removed or replaced; the same list where there is none of them. */
  without(fields: RawPairs): RawPairs {
    if (!fields.some((name, i) => i % 2 === 0 && this.#isDropped(name))) return fields
    return fields.filter((_, i) => !this.#isDropped(fields[i & ~1] as string))
  }

  /** With "_" for "-" as well: many servers cannot tell the two apart, and a caller would stand in for the operator. */
  #isDropped(name: string): boolean {
    return this.#dropped.has(folded(name.toLowerCase()))
  }

  /** The added fields, and those of CORS. */
  readonly beside = lastOf(
    (cors: CorsFields): CorsFields => ({
      pairs: [...this.added.pairs, ...cors.pairs],
      text: this.added.text + cors.text,
    }),
  )
}

/** Names and values come from the settings, which allow nothing that HTTP does not. */
function linesOf(pairs: RawPairs): string {
  let text = ''
  for (let i = 0; i < pairs.length; i += 2) text += `${pairs[i]}: ${pairs[i + 1]}\r\n`
  return text
}
