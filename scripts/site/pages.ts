/** Which pages the site has, in which order, and where each of them is there. */
import { posix } from 'node:path'
import type { Library } from './links.ts'
import type { MarkdownPage } from './markdown.ts'

/** A group of the sidebar: the pages of a folder, or of some. */
export interface Group {
  readonly title: string
  readonly pages: readonly string[]
}

const FRONT = 'README.md'

/** Groups by the folders of their pages. What no group wants is in the last one. */
const GROUPS: ReadonlyArray<readonly [title: string, pages: RegExp]> = [
  ['Guide', /^docs\/guide\/[^/]+$|^docs\/compare\.md$/],
  ['Model servers', /^docs\/guide\/servers\//],
  ['Reference', /^docs\/reference\//],
  ['How it works', /^docs\/architecture\//],
  ['Measured', /^bench\/|^docs\/interop\.md$/],
  ['Decisions', /^docs\/decisions\//],
  ['Project', /./],
]

/** The groups of all pages but the front. Within a group stand first those that the front page names, in its order, then the others. */
export function groupsOf({ pages }: Library): Group[] {
  const named = [...(pages.get(FRONT)?.links ?? [])].map(({ target }) => target.split('#')[0] ?? '')
  const rank = (page: string) => (named.indexOf(page) + 1 || named.length + 1) + (isIndex(page) ? 0 : 0.5)
  const left = new Set([...pages.keys()].filter((page) => page !== FRONT))
  return GROUPS.map(([title, wanted]) => {
    const own = [...left].filter((page) => wanted.test(page))
    for (const page of own) left.delete(page)
    return { title, pages: own.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1)) }
  }).filter(({ pages }) => pages.length > 0)
}

/** What the sidebar calls it: its first heading. */
export function titleOf(page: MarkdownPage | undefined, file: string): string {
  return page?.title || posix.basename(file)
}

const isIndex = (file: string): boolean => posix.basename(file) === FRONT

/** Where the site has a file of the repository: pages as HTML, pictures as they are, all others as pages that show them. */
export function placeOf(file: string): string {
  if (isIndex(file)) return posix.join(posix.dirname(file), 'index.html')
  if (file.endsWith('.md')) return `${file.slice(0, -3)}.html`
  return isPicture(file) ? file : `${file}.html`
}

export const isPicture = (file: string): boolean => /\.(png|svg|jpe?g|webp|gif)$/.test(file)

/** From one place of the site to another. */
export function hrefBetween(from: string, to: string): string {
  return (
    posix.relative(posix.dirname(from), to).split('/').map(encodeURIComponent).join('/') || posix.basename(to)
  )
}
