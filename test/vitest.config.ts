import { defineConfig } from 'vitest/config'

// One project a kind of test, so that `npm test -- --project unit` runs just that kind.
const project = (name: string, options: { timeout?: number; serial?: boolean } = {}) => ({
  test: {
    name,
    root: import.meta.dirname,
    include: [`${name}/**/*.test.ts`],
    testTimeout: options.timeout ?? 5_000,
    hookTimeout: 30_000,
    fileParallelism: !options.serial,
    // What starts gateways and measures time runs after the rest, and alone.
    sequence: { groupOrder: options.serial ? 1 : 0 },
    // CI's machine is shared: what depends on time there may be asked twice. Here a failure is a failure.
    retry: process.env['CI'] ? 2 : 0,
  },
})

export default defineConfig({
  cacheDir: '../.cache/vite',
  test: {
    maxWorkers: 2,
    reporters: process.env['CI'] ? ['default'] : ['dot'],
    projects: [
      project('unit'),
      project('property', { timeout: 60_000 }),
      project('integration', { timeout: 20_000 }),
      project('e2e', { timeout: 30_000, serial: true }),
      // Not part of `npm test`: minutes of simulated load, and real load on real processes (npm run test:long).
      project('sim', { timeout: 60_000 }),
      project('chaos', { timeout: 60_000, serial: true }),
    ],
  },
})
