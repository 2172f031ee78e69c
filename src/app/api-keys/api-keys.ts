/** Reads the API keys of `auth.keysFile`. */
import { extname } from 'node:path'
import type { ApiKeySettings } from '../../config/schema.ts'
import { readInThread } from '../read-in-thread.ts'

const ENTRY = new URL(`./keys-thread${extname(import.meta.filename)}`, import.meta.url)
/** Of 64 MiB at most: a hundred thousand keys are 16 MB of JSON, and take half a second and 150 MB. */
const LIMITS = { timeoutMs: 30_000, maxHeapMb: 1024 }

/** The keys of a file in YAML or JSON. Rejects with what is wrong with it, or when `signal` fires. */
export function readApiKeys(text: string, signal: AbortSignal): Promise<readonly ApiKeySettings[]> {
  return readInThread(ENTRY, text, { ...LIMITS, signal })
}
