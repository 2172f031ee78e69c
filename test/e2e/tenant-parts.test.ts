/** Tenants that ask for more than there is, on real processes: a gateway with two workers, and a backend with known places. */
import { expect, it } from 'vitest'
import { twoTenants } from '../../bench/tenants/scenarios.ts'
import { eventually } from '../support/eventually.ts'

const ROWS = 64
/** Percent of the rows. A second has some 30 calls of 64 rows, and a busy machine ends some of them late. */
const SLACK = 4

it('have their parts of the rows, where one sends batches and the other single rows', {
  timeout: 60_000,
}, async () => {
  // Whatever else the machine does may spoil one measurement.
  await eventually(
    async () => {
      const { 'from then on %': heavy, failed } = await twoTenants(2, ROWS, 4)
      expect(failed).toBe(0)
      expect(Math.abs(heavy - 75)).toBeLessThan(SLACK)
    },
    { timeoutMs: 30_000 },
  )
})
