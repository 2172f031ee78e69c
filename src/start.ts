/**
 * The program: hands its arguments to the command line. What the last run compiled is kept with the installation,
 * where that may be written to: compiling it anew takes more than half of a start.
 */
import { enableCompileCache } from 'node:module'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { INSTALLATION } from './lib/installation.ts'

// On a single processor the collector's threads take turns with the one that answers, some milliseconds each: it collects itself.
if (availableParallelism() === 1)
  for (const work of [
    'parallel-scavenge',
    'concurrent-marking',
    'concurrent-sweeping',
    'concurrent-array-buffer-sweeping',
  ])
    setFlagsFromString(`--no-${work}`)
// In the environment, too, for processes and threads of ours: they have it before they read this file.
const { NODE_COMPILE_CACHE = join(INSTALLATION, '.cache', 'compile') } = process.env
Object.assign(process.env, { NODE_COMPILE_CACHE })
enableCompileCache(NODE_COMPILE_CACHE)
const { run } = await import('./cli/index.ts')
await run(process.argv)
