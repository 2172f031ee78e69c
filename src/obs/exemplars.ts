/** The latest traced call of each bucket of the calls' histogram, for scrapers that ask for OpenMetrics. */

export interface Exemplar {
  readonly traceId: string
  readonly seconds: number
  /** Unix seconds at which the call was over. */
  readonly at: number
}

/** The histogram that has them. */
export const EXEMPLARY = 'infergate_call_seconds'

/** Series times buckets; beyond them the one that has waited longest for its next goes. */
const MAX_EXEMPLARS = 4096
const TRACE_ID = /^[0-9a-f]{32}$/

export class Exemplars {
  readonly #latest = new Map<string, Map<number, Exemplar>>()
  #count = 0

  /** `route` and `cache`: the labels of the series. */
  note(route: string, cache: string, exemplar: Exemplar): void {
    if (!TRACE_ID.test(exemplar.traceId) || !(exemplar.seconds >= 0)) return
    const series = `${cache}\n${route}`
    const known = this.#latest.get(series) ?? new Map<number, Exemplar>()
    const bucket = Math.ceil(Math.log2(Math.max(exemplar.seconds, 1e-5)) * 2)
    if (!known.has(bucket)) this.#count++
    known.set(bucket, exemplar)
    this.#latest.delete(series)
    this.#latest.set(series, known)
    if (this.#count > MAX_EXEMPLARS) this.#forgetOldest()
  }

  /** The latest whose duration is above `from` and at most `to` seconds. */
  in(
    labels: { readonly route: string; readonly cache: string },
    from: number,
    to: number,
  ): Exemplar | undefined {
    let latest: Exemplar | undefined
    for (const exemplar of this.#latest.get(`${labels.cache}\n${labels.route}`)?.values() ?? [])
      if (exemplar.seconds > from && exemplar.seconds <= to && exemplar.at >= (latest?.at ?? 0))
        latest = exemplar
    return latest
  }

  #forgetOldest(): void {
    const [series, oldest] = this.#latest.entries().next().value as [string, Map<number, Exemplar>]
    this.#latest.delete(series)
    this.#count -= oldest.size
  }
}
