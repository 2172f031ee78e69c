/**
 * What calls cost, in what can be counted: a change that makes each call leave more to the collector, or ask the kernel
 * more often, is seen here and not only in a benchmark that somebody runs on a quiet machine.
 */
import { expect, it } from 'vitest'
import { type Costs, measureCosts, readCosts } from '../../bench/costs.ts'

/** Runs of one build differ by 3 %, and now and then by 10: the compiler comes when it has time. */
const NOISE = 1.2

it('no kind of call costs more than bench/costs.json says', { timeout: 120_000 }, async () => {
  const known = readCosts()
  const found = await measureCosts()
  expect(Object.keys(found)).toEqual(Object.keys(known))
  for (const [name, costs] of Object.entries(found)) {
    const { heapBytes, reads, writes } = known[name] as Costs
    expect(costs.heapBytes, `heap of a ${name}; when it is meant: node bench/costs.ts --keep`).toBeLessThan(
      heapBytes * NOISE,
    )
    expect(costs.reads, `reads of a ${name}`).toBeLessThan(reads + 0.1)
    expect(costs.writes, `writes of a ${name}`).toBeLessThan(writes + 0.1)
  }
})
