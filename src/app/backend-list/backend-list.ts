/**
 * Reads a list of backends in a thread of its own: other parties write such files, and YAML of a megabyte takes seconds, of nested
 * brackets hours.
 */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { FoundBackend } from '../../control/registry/registration.ts'
import type { ListRead } from './list-thread.ts'

const ENTRY = new URL(`./list-thread${extname(import.meta.filename)}`, import.meta.url)
/** Far beyond what the longest list takes on a busy machine. */
const READ_MS = 10_000
const MAX_HEAP_MB = 256

/** The backends of a file in YAML or JSON. Rejects with what is wrong with it, or when `signal` fires. */
export async function readBackendList(text: string, signal: AbortSignal): Promise<readonly FoundBackend[]> {
  const thread = new Worker(ENTRY, {
    workerData: text,
    name: 'backend list',
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  })
  const timeout = AbortSignal.timeout(READ_MS)
  const end = () => void thread.terminate()
  timeout.addEventListener('abort', end)
  signal.addEventListener('abort', end)
  try {
    const read = await outcomeOf(thread)
    if ('problem' in read) throw new Error(read.problem)
    return read.backends
  } catch (error) {
    if (timeout.aborted) throw new Error(`it takes longer than ${READ_MS} ms to read`, { cause: error })
    throw error
  } finally {
    timeout.removeEventListener('abort', end)
    signal.removeEventListener('abort', end)
    end()
  }
}

function outcomeOf(thread: Worker): Promise<ListRead> {
  return new Promise((resolve, reject) => {
    thread.once('message', resolve)
    thread.once('error', reject)
    thread.once('exit', (code) => reject(new Error(`the thread that reads it ended with ${code}`)))
  })
}
