/** The schema of traffic: over which pools the calls of a route are spread. */
import * as z from 'zod'
import { refuse, shareOrNone } from './fields.ts'

/** Most pools of a split: each call looks at all of them. */
const MAX_POOLS = 64

/** The least weight over 0: the scores of much smaller ones would not differ. */
export const MIN_WEIGHT = 1e-6

export function isTooSmall(weight: number): boolean {
  return weight > 0 && weight < MIN_WEIGHT
}

const weighted = z.strictObject({
  pool: z.string().describe('A pool or an embedded model.'),
  weight: z
    .number()
    .min(0)
    .max(1_000_000)
    .describe('Its part of the calls, beside the other weights; 0: none.'),
})

export const split = z
  .array(weighted)
  .min(1)
  .max(MAX_POOLS)
  .superRefine((pools, ctx) => {
    if (pools.every(({ weight }) => weight === 0)) refuse(ctx, 'one weight at least must be over 0')
    for (const [at, { weight }] of pools.entries())
      if (isTooSmall(weight)) refuse(ctx, `must be 0, or at least ${MIN_WEIGHT}`, [at, 'weight'])
  })

export const fallback = z.array(z.string()).min(1).max(8)

export const mirror = z.strictObject({
  pool: z.string().describe('A pool or an embedded model, besides those that answer the calls.'),
  share: shareOrNone()
    .prefault('100%')
    .describe('Of the calls that go to a backend, those that are copied; may be changed over the admin API.'),
  compare: z
    .boolean()
    .prefault(false)
    .describe("Compare the two answers, by the dialect's tolerance, and count and log those that differ."),
})

export const sticky = z.enum(['input', 'caller', 'none'])
