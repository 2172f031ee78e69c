/** Where links lead, and those that lead nowhere. */
import { posix } from 'node:path'
import type { Link, MarkdownPage } from './markdown.ts'

/** What a check of links has to know of a repository. Paths are relative to its root, with `/`. */
export interface Library {
  readonly pages: ReadonlyMap<string, MarkdownPage>
  /** All files, of which the pages are some. */
  readonly files: ReadonlySet<string>
  /** Number of lines of a file. */
  linesOf(file: string): number
}

/** A link taken apart: to another host, or to a path in the repository and an anchor there. */
export type Target =
  | { readonly kind: 'foreign' }
  | { readonly kind: 'inside'; readonly path: string; readonly anchor: string | undefined }
  | { readonly kind: 'bad'; readonly why: string }

export function targetOf(page: string, written: string): Target {
  if (/^[a-z][a-z0-9+.-]*:/i.test(written)) return { kind: 'foreign' }
  if (written.startsWith('/'))
    return { kind: 'bad', why: 'begins at a root that differs from place to place' }
  const [file = '', hash] = written.split('#', 2)
  let name: string
  let anchor: string | undefined
  try {
    name = decodeURIComponent(file)
    anchor = hash === undefined || hash === '' ? undefined : decodeURIComponent(hash)
  } catch {
    return { kind: 'bad', why: 'is not percent-encoded rightly' }
  }
  const path = name === '' ? page : posix.normalize(posix.join(posix.dirname(page), name)).replace(/\/$/, '')
  if (path.startsWith('..')) return { kind: 'bad', why: 'leaves the repository' }
  return { kind: 'inside', path, anchor }
}

/** Each as `FILE:LINE: what is wrong`. */
export function brokenLinks(library: Library): string[] {
  const folders = foldersOf(library.files)
  return [...library.pages].flatMap(([name, page]) => [
    ...page.links.flatMap((link) => said(name, link, fault(library, folders, targetOf(name, link.target)))),
    ...page.undefinedReferences.flatMap((link) => said(name, link, 'is defined nowhere')),
    // A page that is named without a link is looked for by its name all the same.
    ...page.codes
      .filter(({ target }) => /^(?:docs|bench|interop|models)\/[\w/.-]+\.md$/.test(target))
      .flatMap((code) => said(name, code, library.files.has(code.target) ? undefined : 'is no file')),
  ])
}

function said(page: string, { line, target }: Link, why: string | undefined): string[] {
  return why === undefined ? [] : [`${page}:${line}: ${target} ${why}`]
}

function fault(library: Library, folders: ReadonlySet<string>, target: Target): string | undefined {
  if (target.kind === 'foreign') return undefined
  if (target.kind === 'bad') return target.why
  const { path, anchor } = target
  if (path === '.' || folders.has(path))
    return anchor === undefined ? undefined : 'names an anchor in a folder: name its page'
  if (!library.files.has(path)) return 'is no file'
  if (anchor === undefined) return undefined
  const page = library.pages.get(path)
  if (page) return page.anchors.has(anchor) ? undefined : near(anchor, page.anchors)
  const [, last] = /^L\d+(?:-L(\d+))?$/.exec(anchor) ?? []
  if (!/^L\d+(-L\d+)?$/.test(anchor)) return 'names an anchor in a file that has none'
  return Number(last ?? anchor.slice(1)) <= library.linesOf(path) ? undefined : 'names a line behind the last'
}

/** A heading that was renamed often keeps a word. */
function near(anchor: string, anchors: ReadonlySet<string>): string {
  const words = new Set(anchor.split('-'))
  const shared = (other: string) => other.split('-').filter((word) => words.has(word)).length
  const [best] = [...anchors].sort((a, b) => shared(b) - shared(a))
  return best !== undefined && shared(best) > 0
    ? `has no such anchor (is it #${best}?)`
    : 'has no such anchor'
}

export function foldersOf(files: Iterable<string>): Set<string> {
  const folders = new Set<string>()
  for (const file of files)
    for (let at = posix.dirname(file); at !== '.' && !folders.has(at); at = posix.dirname(at)) folders.add(at)
  return folders
}
