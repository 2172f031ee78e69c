/** A Python script of a client, run for one base URL after the other by forks of a process that has its imports. */

import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { within } from './eventually.ts'
import { spawnMarked } from './marked.ts'
import { CLIENTS } from './places.ts'
import { type Output, RunFailed } from './run.ts'

export interface Forks {
  /** What a run printed. Rejects with RunFailed. */
  run(base: string): Promise<Output>
  stop(): void
}

export interface ForkedScript {
  /** The interpreter. */
  readonly command: string
  readonly script: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** After so long, with the imports in the first one, a run is given up. */
  readonly timeoutMs: number
}

export function startForks({ command, script, args, env, timeoutMs }: ForkedScript): Forks {
  const started = spawnMarked(command, [join(CLIENTS, 'forks.py'), script, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...env, PYTHONPATH: CLIENTS },
  })
  const { stdin, stdout, stderr } = started.child
  if (!stdin || !stdout || !stderr) throw new Error(`${command} has no pipes`)
  // It may have ended.
  stdin.on('error', () => {})
  let printed = ''
  stderr.setEncoding('utf8').on('data', (text: string) => (printed += text))
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]()
  return {
    async run(base) {
      stdin.write(`${base}\n`)
      const { value, done } = await within(timeoutMs, `${script} at ${base}`, lines.next())
      if (done) throw new RunFailed(`${script} ended: ${printed.trim()}`, { stdout: '', stderr: printed })
      const { code, ...output } = JSON.parse(value) as Output & { readonly code: number }
      if (code !== 0) throw new RunFailed(`${script} ended with ${code}: ${output.stderr.trim()}`, output)
      return output
    },
    stop() {
      started.kill()
      started.forget()
    },
  }
}
