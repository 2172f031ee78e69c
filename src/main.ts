#!/usr/bin/env node
/**
 * The process: hands its arguments to the command line. What the last run compiled is kept with the installation,
 * where that may be written to: compiling it anew takes more than half of a start.
 */
import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

enableCompileCache(fileURLToPath(new URL('../.cache/compile', import.meta.url)))
const { run } = await import('./cli/index.ts')
await run(process.argv)
