/**
 * The schema of custom parts. Each has a name that begins with `x-`, which no built-in part will ever have, and is used
 * where a built-in one would be. A tier, a source or an emitter also has an `options` block that only the part itself
 * reads.
 */
import * as z from 'zod'
import { kinds } from './fields.ts'

export type PartName = `x-${string}`

/** The names of the custom parts, by kind. */
export interface PartNames {
  readonly protocols?: readonly PartName[]
  readonly tiers?: readonly PartName[]
  readonly policies?: readonly PartName[]
  readonly sources?: readonly PartName[]
  readonly emitters?: readonly PartName[]
}

/** A source or an emitter. */
export const customPart = (name: PartName) =>
  z.strictObject({ type: z.literal(name).describe('A part of your own.'), options: customOptions() })

/** `check` shows all of them as `***`: which ones are secrets is not known here. */
export const customOptions = () =>
  z
    .record(z.string(), z.unknown())
    .register(kinds, { kind: 'secret' })
    .prefault({})
    .describe('Settings of the part, as it names them.')
