#!/usr/bin/env node
/** The process: hands its arguments to the command line. */
import { run } from './cli/index.ts'

await run(process.argv)
