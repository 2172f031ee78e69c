/** A backend as a process, which a test may kill: it answers predictions with its own name, after a while. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { startBackend } from './backend.ts'

if (import.meta.main) {
  const [name = '', delayMs = '0'] = process.argv.slice(2)
  const backend = await startBackend((_, response) => {
    setTimeout(() => {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ predictions: [name] }))
    }, Number(delayMs))
  })
  process.send?.({ url: backend.url })
  process.once('disconnect', () => process.exit(0))
}

export interface BackendProcess {
  readonly url: string
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
}

export async function startBackendProcess(name: string, delayMs: number): Promise<BackendProcess> {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), [name, String(delayMs)])
  const [{ url }] = (await once(child, 'message')) as [{ url: string }]
  return {
    url,
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
  }
}
