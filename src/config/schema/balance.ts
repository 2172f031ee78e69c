/** The schema of load balancing: policy, outlier ejection, limits, and the queue. */
import * as z from 'zod'
import type { PartName } from './custom-parts.ts'
import { count, duration, ordered, orElse, refuse } from './fields.ts'

export const balanceWith = (policies: readonly PartName[] = []) =>
  z.strictObject({
    policy: z
      .enum([
        'peak-ewma',
        'p2c',
        'round-robin',
        'random',
        'least-request',
        'prequal',
        'rendezvous',
        'maglev',
        'prefix',
        ...policies,
      ])
      .prefault('peak-ewma')
      .describe(
        'How a backend is chosen; `peak-ewma`: the one with the least latency times calls in flight, of two at random where there are many; `prefix`, for servers of language models: one that has seen the beginning of the prompt, unless it is too busy.',
      ),
    probe: z
      .string()
      .regex(/^\/[!-~]*$/, 'a path begins with / and has no spaces')
      .exactOptional()
      .describe(
        'Path at which `prequal` asks backends how busy they are, up to 2000 times a second in all; they answer `{"running": 3, "latencyMs": 8.4}`. Without it, and from backends that answer anything else, it goes by the gateway\'s own calls. `infergate model-server` answers at `/probe`.',
      ),
    slowStart: z
      .strictObject({
        window: duration({ min: '0s', max: '1h' })
          .prefault('30s')
          .describe('A backend that becomes ready gets its whole share after this time; 0s: at once.'),
      })
      .prefault({})
      .describe('Spares backends that have just started.'),
    zone: z
      .string()
      .min(1)
      .exactOptional()
      .describe('The zone of this gateway: its backends are preferred while they are well and have room.'),
  })

export const hedge = z.strictObject({
  percent: z
    .number()
    .min(0)
    .max(100)
    .prefault(5)
    .describe(
      'Second tries, in percent of the calls; sent when the first takes longer than 95 % do, and only for pure predictions. 0: none.',
    ),
})

export const outlier = z
  .strictObject({
    consecutive: count(1, 1_000_000)
      .prefault(5)
      .describe('Failures in a row that eject a backend; answers of 429 and 503 do not count.'),
    baseEjection: duration()
      .prefault('30s')
      .describe('How long the first ejection lasts; each further one is longer.'),
    maxEjection: duration().prefault('5m').describe('How long any ejection lasts at most.'),
    maxPercent: count(0, 100)
      .prefault(10)
      .describe('The most of the pool that may be ejected; one is always allowed.'),
    minRoutable: count(1, 10_000).prefault(1).describe('Backends that are never ejected all together.'),
    panicPercent: count(0, 100)
      .prefault(50)
      .describe('With less than this share of the pool left, ejections are ignored. 0: never.'),
  })
  .superRefine(({ baseEjection, maxEjection }, ctx) =>
    ordered(ctx, [baseEjection, maxEjection], ['baseEjection', 'maxEjection']),
  )

export const limits = z
  .strictObject({
    mode: z
      .enum(['declared', 'gradient', 'curve'])
      .prefault('declared')
      .describe(
        '`declared`: what the backend declares as its concurrency, otherwise `connections`. For those that declare nothing, `gradient` learns it from latency, and `curve` from latency and throughput, for backends that batch.',
      ),
    initial: count(1, 10_000).prefault(4).describe('Where learning begins.'),
    min: count(1, 10_000).prefault(1).describe('The least that is learnt.'),
    max: orElse(count(1, 10_000).exactOptional().describe('The most that is learnt.'), '`connections`'),
    serviceTime: orElse(
      duration()
        .exactOptional()
        .describe('The longest a call may take on a backend; above it the learnt limit falls.'),
      'six tenths of `slo.p95`',
    ),
  })
  .superRefine(({ min, max }, ctx) => ordered(ctx, [min, max ?? min], ['min', 'max']))

export const queue = z.strictObject({
  max: count(0, 1_000_000)
    .prefault(1000)
    .describe('Calls that wait at most, for a busy backend or a first one; further ones get 503 at once.'),
  maxWait: duration({ max: '1h' })
    .prefault('5s')
    .describe(
      'The longest a call waits for a busy backend. The most urgent go first; under overload, the newest of the others.',
    ),
})

export const connections = () =>
  count(1, 10_000)
    .prefault(64)
    .describe(
      'Calls to one backend at a time, and so connections; the limit of backends that declare no other.',
    )

/** Refuses the limit `curve` where no latency is given that counts as too slow. */
export function servesInTime(
  { limits: { mode, serviceTime }, slo }: { limits: z.output<typeof limits>; slo?: unknown },
  ctx: z.RefinementCtx,
): void {
  if (mode !== 'curve' || serviceTime !== undefined || slo !== undefined) return
  refuse(ctx, 'curve needs limits.serviceTime, or the pool needs slo.p95', ['limits', 'mode'])
}
