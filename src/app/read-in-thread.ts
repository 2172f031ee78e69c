/**
 * Reads text that other parties write in a thread of its own: YAML of a megabyte takes seconds, of nested brackets hours and all
 * memory.
 */
import { parentPort, Worker, workerData } from 'node:worker_threads'

type ReadOutcome<T> = { readonly value: T } | { readonly problem: string }

export interface ThreadLimits {
  /** For the reading, in milliseconds: far beyond what the longest text takes on a busy machine. */
  readonly timeoutMs: number
  readonly maxHeapMb: number
}

/** What the module `entry` reads from the text, by `answerRead`. Rejects with what is wrong with it, or when `signal` fires. */
export async function readInThread<T>(
  entry: URL,
  text: string,
  { signal, timeoutMs, maxHeapMb }: ThreadLimits & { readonly signal: AbortSignal },
): Promise<T> {
  const thread = new Worker(entry, {
    workerData: text,
    name: 'reading a file',
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
  })
  const timeout = AbortSignal.timeout(timeoutMs)
  const end = () => void thread.terminate()
  timeout.addEventListener('abort', end)
  signal.addEventListener('abort', end)
  try {
    const outcome = await outcomeOf<T>(thread)
    if ('problem' in outcome) throw new Error(outcome.problem)
    return outcome.value
  } catch (error) {
    if (timeout.aborted) throw new Error(`it takes longer than ${timeoutMs} ms to read`, { cause: error })
    if (isOutOfMemory(error))
      throw new Error(`it takes more than ${maxHeapMb} MB of memory to read`, { cause: error })
    throw error
  } finally {
    timeout.removeEventListener('abort', end)
    signal.removeEventListener('abort', end)
    end()
  }
}

/** Called by the thread. */
export function answerRead(read: (text: string) => unknown): void {
  parentPort?.postMessage(outcomeIn(() => read(workerData as string)))
}

function outcomeIn<T>(read: () => T): ReadOutcome<T> {
  try {
    return { value: read() }
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) }
  }
}

function outcomeOf<T>(thread: Worker): Promise<ReadOutcome<T>> {
  return new Promise((resolve, reject) => {
    thread.once('message', resolve)
    thread.once('error', reject)
    thread.once('exit', (code) => reject(new Error(`the thread that reads it ended with ${code}`)))
  })
}

function isOutOfMemory(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY'
}
