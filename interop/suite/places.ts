/** Where things of the suite lie. */
import { join } from 'node:path'

export const ROOT = join(import.meta.dirname, '..', '..')
/** Environments, logs and scratch files: kept between runs, never committed. */
export const CACHE = join(ROOT, '.cache', 'interop')
/** One small file a system, committed: what its last run saw. */
export const RESULTS = join(ROOT, 'interop', 'results')
/** What real servers said, byte for byte, for `npm test`. */
export const WIRE = join(ROOT, 'test', 'golden', 'wire')
/** The page that the results make. */
export const PAGE = join(ROOT, 'docs', 'interop.md')
/** Scripts of clients that several systems use. */
export const CLIENTS = join(ROOT, 'interop', 'clients')
