/** Bundles the gateway that tests start as a process, as the package has it; only where a project starts any. */
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { bundle } from '../scripts/bundle.ts'

const IN_PROCESS = new Set(['unit', 'sim'])

export async function setup({ vitest }: TestProject): Promise<void> {
  if (vitest.projects.every(({ name }) => IN_PROCESS.has(name))) return
  await bundle(join(import.meta.dirname, '..', '.cache', 'gateway'))
}
