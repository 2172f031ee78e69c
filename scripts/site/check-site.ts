/** Looks at a site as it was written: every link leads to a file and an anchor of it, and nothing comes from another host. */
import { globSync, readFileSync } from 'node:fs'
import { join, posix, sep } from 'node:path'

/** Each as `PLACE: what is wrong`. */
export function checkSite(folder: string): string[] {
  const files = globSync('**/*', { cwd: folder }).map((file) => file.replaceAll(sep, '/'))
  const pages = new Map(
    files
      .filter((file) => file.endsWith('.html'))
      .map((file) => [file, readFileSync(join(folder, file), 'utf8')] as const),
  )
  const known = new Set(files)
  const anchors = new Map([...pages].map(([file, html]) => [file, anchorsOf(html)] as const))
  return [...pages].flatMap(([file, html]) => {
    const found = [...html.matchAll(/<(\w+)\b[^>]*?\s(href|src|srcset)="([^"]*)"/g)]
    return found.flatMap(([, tag = '', , written = '']) => {
      const target = written.replaceAll('&amp;', '&')
      if (/^[a-z][a-z0-9+.-]*:|^\/\//i.test(target))
        return tag === 'a' ? [] : [`${file}: ${tag} is loaded from ${target}`]
      const [path = '', hash = ''] = target.split('#').map(decodeURIComponent)
      const to = path === '' ? file : posix.normalize(posix.join(posix.dirname(file), path))
      if (!known.has(to)) return [`${file}: ${target} is not there`]
      const isThere = hash === '' || anchors.get(to)?.has(hash)
      return isThere ? [] : [`${file}: ${target} has no such anchor`]
    })
  })
}

const anchorsOf = (html: string): Set<string> =>
  new Set([...html.matchAll(/\s(?:id|name)="([^"]+)"/g)].map(([, id = '']) => id.replaceAll('&amp;', '&')))
