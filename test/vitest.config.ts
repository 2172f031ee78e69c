import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { SpreadFuzz } from './sequencer.ts'

interface Kind {
  readonly timeout?: number
  /** After all the rest, only so many files at a time: for what measures time. */
  readonly last?: { readonly files: number }
  /** False: files share their workers, and so the modules that they have loaded. */
  readonly isolate?: boolean
  /** It depends on time, over real sockets and processes. */
  readonly retried?: boolean
  readonly include?: readonly string[]
  readonly exclude?: readonly string[]
}

/** More than the two processors that are sure to be there: much of the time tests wait, for processes of theirs too. */
const WORKERS = 4

// One project a kind of test, so that `npm test -- --project unit` runs just that kind.
const project = (name: string, kind: Kind = {}) => ({
  test: {
    name,
    root: import.meta.dirname,
    include: [...(kind.include ?? [`${name}/**/*.test.ts`])],
    exclude: [...(kind.exclude ?? [])],
    testTimeout: kind.timeout ?? 5_000,
    hookTimeout: 60_000,
    isolate: kind.isolate ?? true,
    maxWorkers: kind.last?.files ?? WORKERS,
    sequence: { groupOrder: kind.last ? 1 + kind.last.files : 0 },
    // CI's machine is shared: what depends on time there may be asked twice. What does not must never be: a property
    // that is tried again has another seed, and a rare counterexample would turn green.
    retry: process.env['CI'] && kind.retried ? 2 : 0,
  },
})

const TIMED = [
  'elastic',
  'frozen-redis',
  'gateway-shares',
  'shared-limits',
  'tenant-parts',
  'tier-failover',
].map((name) => `e2e/${name}.test.ts`)

export default defineConfig({
  cacheDir: '../.cache/vite',
  test: {
    maxWorkers: WORKERS,
    sequence: { sequencer: SpreadFuzz },
    globalSetup: join(import.meta.dirname, 'global-setup.ts'),
    reporters: process.env['CI'] ? ['default'] : ['dot'],
    projects: [
      project('unit', { timeout: 20_000, isolate: false }),
      project('property', { timeout: 120_000, isolate: false }),
      project('integration', { timeout: 60_000, retried: true }),
      project('e2e', { timeout: 60_000, exclude: TIMED, retried: true }),
      // One at a time: a second one is load that the first measures.
      project('timed', { timeout: 60_000, include: TIMED, last: { files: 1 }, retried: true }),
      // Not part of `npm test`: minutes of simulated load, and real load on real processes (npm run test:long).
      project('sim', { timeout: 60_000 }),
      project('chaos', { timeout: 60_000, last: { files: 1 }, retried: true }),
    ],
  },
})
