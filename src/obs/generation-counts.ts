/**
 * What generations take: tokens, and the time to the first of them and between them, by model. The names and bounds are those of
 * OpenTelemetry's conventions for generative AI (`gen_ai.server.time_to_first_token`, `gen_ai.server.time_per_output_token`).
 */
import type { Generated } from '../core/observer.ts'
import type { TokenCounts } from '../core/reply.ts'
import { type Times, time, times } from './call-counts.ts'
import { Tally } from './tally.ts'

type ModelLabel = { readonly model: string }

const FIRST_BUCKETS = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
const NEXT_BUCKETS = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5]

export class GenerationCounts {
  readonly used = new Tally()
  readonly saved = new Tally()
  readonly first = new Map<string, Times<ModelLabel>>()
  readonly next = new Map<string, Times<ModelLabel>>()

  generated(model: string, { tokens, firstTokenMs, perTokenMs }: Generated): void {
    if (tokens) count(this.used, model, tokens)
    if (firstTokenMs !== undefined) measure(this.first, { model, bounds: FIRST_BUCKETS, ms: firstTokenMs })
    if (perTokenMs !== undefined) measure(this.next, { model, bounds: NEXT_BUCKETS, ms: perTokenMs })
  }

  save(model: string, tokens: TokenCounts): void {
    count(this.saved, model, tokens)
  }
}

function count(tally: Tally, model: string, { input, output }: TokenCounts): void {
  if (input > 0) tally.add({ model, type: 'input' }, input)
  if (output > 0) tally.add({ model, type: 'output' }, output)
}

interface Measured {
  readonly model: string
  readonly bounds: readonly number[]
  readonly ms: number
}

function measure(cells: Map<string, Times<ModelLabel>>, { model, bounds, ms }: Measured): void {
  const cell = cells.get(model) ?? times({ model }, bounds)
  cells.set(model, cell)
  time(cell, ms / 1000)
}
