/** What the tenants have used since the start, over all threads and reloads: for the admin API and the metrics. */
import type { RowCounts } from '../core/row-counts.ts'
import {
  addUsage,
  noCounts,
  type TenantCounts,
  UNIDENTIFIED,
  type UsageReport,
} from '../data/measure/tenant-usage.ts'
import { BoundedNames } from '../obs/bounded.ts'
import type { Metrics, Sample } from '../obs/metrics.ts'
import { Tally } from '../obs/tally.ts'

/** A tenant as the admin API tells of it. */
export interface TenantView extends TenantCounts {
  readonly tenant: string
}

/** Most tenants that are values of a label; the series of 10,000 would be longer than a scrape may take. */
const MAX_LABELS = 1024
const NOTHING = noCounts()

export class TenantTotals {
  readonly #totals = new Map<string, TenantCounts>()
  readonly #labels = new BoundedNames(MAX_LABELS)
  /** When the counts began. */
  readonly since = new Date().toISOString()

  add(report: UsageReport): void {
    addUsage(this.#totals, report)
  }

  /** The tenants that the settings name, and all that have used something. */
  list(named: readonly string[]): readonly TenantView[] {
    const used = [...this.#totals.keys()].filter((tenant) => tenant !== UNIDENTIFIED)
    return [...new Set([...named, ...used])].map((tenant) => this.#view(tenant))
  }

  /** Undefined: neither do the settings name it, nor has it used anything. */
  one(tenant: string, named: readonly string[]): TenantView | undefined {
    const isKnown = named.includes(tenant) || (tenant !== UNIDENTIFIED && this.#totals.has(tenant))
    return isKnown ? this.#view(tenant) : undefined
  }

  /** Callers that were refused before it was known who they are, by the code of the error. */
  get unidentified(): Readonly<Record<string, number>> {
    return this.#view(UNIDENTIFIED).refused
  }

  /** Registers the metrics. */
  measure(metrics: Pick<Metrics, 'counter'>): void {
    metrics.counter(
      'infergate_tenant_calls_total',
      this.#samples('cache', ({ calls }) => calls),
    )
    metrics.counter(
      'infergate_tenant_hits_total',
      this.#samples('tier', ({ hits }) => hits),
    )
    metrics.counter(
      'infergate_tenant_rows_total',
      this.#samples('result', ({ rows }) => rows),
    )
    metrics.counter(
      'infergate_tenant_tokens_total',
      this.#samples('type', ({ tokens }) => tokens),
    )
    metrics.counter(
      'infergate_tenant_saved_tokens_total',
      this.#samples('type', ({ savedTokens }) => savedTokens),
    )
    metrics.counter(
      'infergate_tenant_refused_total',
      this.#samples('reason', ({ refused }) => refused),
    )
  }

  #view(tenant: string): TenantView {
    return { tenant, ...(this.#totals.get(tenant) ?? NOTHING) }
  }

  #samples(
    label: string,
    part: (counts: TenantCounts) => Readonly<Record<string, number>> | RowCounts,
  ): () => readonly Sample[] {
    return () => {
      const tally = new Tally()
      for (const [name, counts] of this.#totals) {
        const tenant = this.#labels.of(name)
        for (const [value, count] of Object.entries(part(counts)))
          if (count > 0) tally.add({ tenant, [label]: value }, count)
      }
      return tally.samples()
    }
  }
}
