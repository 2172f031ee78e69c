/** Reads a list of backends that discovery finds in a file. */
import { extname } from 'node:path'
import type { FoundBackend } from '../../control/registry/registration.ts'
import { readInThread } from '../read-in-thread.ts'

const ENTRY = new URL(`./list-thread${extname(import.meta.filename)}`, import.meta.url)
/** Of 4 MiB at most. */
const LIMITS = { timeoutMs: 10_000, maxHeapMb: 256 }

/** The backends of a file in YAML or JSON. Rejects with what is wrong with it, or when `signal` fires. */
export function readBackendList(text: string, signal: AbortSignal): Promise<readonly FoundBackend[]> {
  return readInThread(ENTRY, text, { ...LIMITS, signal })
}
