/**
 * Request directives: how a caller steers freshness by Cache-Control (RFC 9111, section 5.2.1). Nothing here lets a caller
 * choose a key, a lifetime or a tag.
 */
import { headerAll, type RawPairs } from '../../core/call.ts'
import { lastOf } from '../../lib/memo.ts'

export interface Directives {
  /** Do not answer from the cache; the new answer is stored. */
  readonly noCache: boolean
  /** Leave nothing behind; an answer already there may be used. */
  readonly noStore: boolean
  /** Answer from the cache or not at all (504). */
  readonly onlyIfCached: boolean
  /** Only an answer to the same bytes will do. */
  readonly noTransform?: boolean
  /** Milliseconds; undefined where the caller sets no bound. */
  readonly maxAge?: number
  readonly minFresh?: number
  /** Milliseconds of staleness accepted; Infinity for the bare directive. */
  readonly maxStale?: number
  readonly staleIfError?: number
  /** A directive that was not followed, for Cache-Status. */
  readonly ignored?: string
}

export const NO_DIRECTIVES: Directives = { noCache: false, noStore: false, onlyIfCached: false }

/** A call is asked several times what it says, and a client that repeats its head says the same. */
export const parseDirectives = lastOf((headers: RawPairs): Directives => {
  const fields = headerAll(headers, 'cache-control')
  if (fields.length === 0) {
    // RFC 9111, section 5.4: Pragma counts where Cache-Control is absent.
    const pragma = headerAll(headers, 'pragma').some((value) => /(?:^|,)\s*no-cache\s*(?:,|$)/i.test(value))
    return pragma ? { ...NO_DIRECTIVES, noCache: true } : NO_DIRECTIVES
  }
  const found = new Map<string, string | undefined>()
  for (const part of fields.join(',').split(',')) {
    const [name, value] = part.split('=', 2)
    const directive = (name ?? '').trim().toLowerCase()
    // The first of a repeated directive counts, as RFC 9111, section 4.2.1 advises.
    if (directive !== '' && !found.has(directive))
      found.set(directive, value?.trim().replace(/^"(.*)"$/, '$1'))
  }
  return {
    noCache: found.has('no-cache'),
    noStore: found.has('no-store'),
    onlyIfCached: found.has('only-if-cached'),
    ...(found.has('no-transform') ? { noTransform: true } : {}),
    ...seconds(found, 'max-age', 'maxAge'),
    ...seconds(found, 'min-fresh', 'minFresh'),
    ...seconds(found, 'stale-if-error', 'staleIfError'),
    ...(found.has('max-stale') && found.get('max-stale') === undefined
      ? { maxStale: Number.POSITIVE_INFINITY }
      : seconds(found, 'max-stale', 'maxStale')),
  }
})

/** A cap on seconds (RFC 9111, section 1.2.2). */
const MAX_SECONDS = 2 ** 31

/** A delta-seconds directive as milliseconds; a value that is no number counts as 0, the strictest. */
function seconds(found: ReadonlyMap<string, string | undefined>, name: string, property: string): object {
  if (!found.has(name)) return {}
  const value = found.get(name) ?? ''
  return { [property]: /^\d+$/.test(value) ? Math.min(Number(value), MAX_SECONDS) * 1000 : 0 }
}
