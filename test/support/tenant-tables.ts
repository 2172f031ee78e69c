/** The tables of tenants' limits, for one worker that is alone. */
import { allocateLimits, LimitTable } from '../../src/data/decision/limit-table.ts'
import { allocateQuotas, QuotaTable } from '../../src/data/decision/quota-table.ts'
import type { TenantTables } from '../../src/data/decision/tenant-limits.ts'

/** `now`: the monotonic clock; Unix time is the same. */
export function tenantTables(now: () => number): TenantTables {
  const bytes = allocateLimits(1)
  return {
    limits: new LimitTable(bytes, { worker: 0, now }),
    quotas: new QuotaTable(allocateQuotas(0), bytes.terms, { worker: 0, now }),
  }
}
