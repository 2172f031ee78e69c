/** The pages and files of a clone, as somebody sees them who has just cloned it. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Library } from './links.ts'
import { type MarkdownPage, readMarkdown } from './markdown.ts'

export const ROOT = join(import.meta.dirname, '..', '..')

/** Reads all Markdown below `root`, which Git knows: what it ignores is not there for others. */
export function readRepository(root: string): Library {
  const files = new Set(
    execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 * 2 ** 20,
    })
      .split('\0')
      // Git knows of a file that was removed until it is told so.
      .filter((file) => file !== '' && existsSync(join(root, file))),
  )
  const read = (file: string) => readFileSync(join(root, file), 'utf8')
  const pages = new Map<string, MarkdownPage>()
  for (const file of [...files].filter((file) => file.endsWith('.md')).sort())
    pages.set(file, readMarkdown(read(file)))
  return { pages, files, linesOf: (file) => read(file).split('\n').length }
}
