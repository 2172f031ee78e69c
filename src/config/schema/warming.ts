/** The schema of what a route keeps to be warmed with. */
import * as z from 'zod'
import { rate, size } from './fields.ts'

export const warming = z.strictObject({
  keep: size({ min: '64KiB', max: '64GiB' })
    .prefault('64MiB')
    .describe(
      'Memory for calls to ask again, of all workers together: those that are asked most, cost most and are short.',
    ),
  rate: rate()
    .prefault('50/s')
    .describe(
      'Where a new version is deployed in a pool of the route, so many of these calls at most are asked again at once; fewer while its backends are busy.',
    ),
})
