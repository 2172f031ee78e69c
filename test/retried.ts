/**
 * A reporter that keeps a list of the tests that passed, but not at the first try: a run with such tests is green, and each of
 * them still hides a race in the test or in what it tests.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import type { Reporter, TestModule } from 'vitest/node'

const LIST = join(import.meta.dirname, '..', '.cache', 'retried.txt')

// oxlint-disable-next-line import/no-default-export -- vitest makes a reporter of a module's default
export default class Retried implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const lines = modules.flatMap(({ moduleId, children }) =>
      [...children.allTests()].flatMap((test) => {
        const { flaky, retryCount } = test.diagnostic() ?? {}
        if (!flaky) return []
        const reason = test.result().errors?.[0]?.message.split('\n', 1)[0] ?? 'no reason is known'
        return `${relative(import.meta.dirname, moduleId)}: ${test.fullName} (after ${retryCount} failed: ${reason})\n`
      }),
    )
    mkdirSync(dirname(LIST), { recursive: true })
    writeFileSync(LIST, lines.join(''))
  }
}
