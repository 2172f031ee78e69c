/** Files that are wrong before any field is looked at. Each row: a name, the YAML, `line:column: message` of every problem. */
import { expect } from 'vitest'

export const syntax: ReadonlyArray<readonly [name: string, yaml: string, wanted: readonly string[]]> = [
  ['an empty file', '', ['1:1: the file is empty']],
  ['a file of comments', '# nothing\n', ['1:1: the file is empty']],
  [
    'a file that is a list',
    '- a\n',
    ['1:1: expected a mapping, got a list (write "key: value" lines, without "- ")'],
  ],
  [
    'a file that is a word',
    'hello\n',
    ['1:1: expected a mapping, got a text (such as { server: …, admin: …, log: …, cache: … })'],
  ],
  ['the same key twice', 'log: {}\nlog: {}\n', ['2:1: this key is there twice']],
  ['two documents', 'log: {}\n---\nlog: {}\n', ['2:1: the file holds more than one document']],
  ['tabs', 'log:\n\tlevel: info\n', ['2:1: Tabs are not allowed as indentation (indent with spaces)']],
  ['a quote left open', 'log: { level: "info }\n', ['2:1: Missing closing "quote']],
  ['an unknown tag', 'log: !env LEVEL\n', ['1:6: Unresolved tag: !env']],
  ['an alias without its anchor', 'log: *nowhere\n', ['1:6: log: this alias has no anchor before it']],
  [
    'an alias within its anchor',
    'pools: &p { a: *p }\n',
    ['1:1: aliases: an alias lies within its own anchor'],
  ],
  ['far too deep', '['.repeat(20_000), [expect.stringMatching(/^1:\d+: nested too deeply$/)]],
  [
    'a variable without quotes in braces',
    'pools: { a: { backends: [{ url: ${URL} }] } }\n',
    ['1:34: inside { } and [ ] a variable needs quotes (write "${NAME}")'],
  ],
  [
    'a variable that is not set',
    'log: { level: "${NOPE}" }\n',
    ['1:15: log.level: the environment variable NOPE is not set (set it, or write ${NOPE:-default})'],
  ],
  [
    'a reference that is none',
    'log: { level: "${A B}" }\n',
    [
      '1:15: log.level: this is no reference to a variable (write ${NAME} or ${NAME:-default}, and $${ for a plain ${)',
    ],
  ],
]
