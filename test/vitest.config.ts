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
  },
})

export default defineConfig({
  cacheDir: '../.cache/vite',
  test: {
    reporters: process.env['CI'] ? ['default'] : ['dot'],
    projects: [
      project('unit'),
      project('property', { timeout: 60_000 }),
      project('integration', { timeout: 20_000 }),
      project('e2e', { timeout: 30_000, serial: true }),
      project('chaos', { timeout: 60_000, serial: true }),
    ],
  },
})
