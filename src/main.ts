#!/usr/bin/env node
/**
 * The process: hands over to the program, where this Node can run it. A Node that is too old would end in a SyntaxError over
 * the first thing it does not know; so this file imports nothing by name, and has no syntax that is younger than modules.
 */
const needed = 24

if (Number(process.versions.node.split('.')[0]) >= needed) void import('./start.ts')
else {
  process.stderr.write(
    'infergate: this is Node ' +
      process.versions.node +
      ' (' +
      process.execPath +
      '), and Node ' +
      needed +
      ' or later is needed: install one from https://nodejs.org, or put it first on PATH\n',
  )
  process.exitCode = 1
}
