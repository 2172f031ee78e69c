/** The button that goes round the themes: the system's, light, dark. */

const THEMES = ['auto', 'light', 'dark'] as const

export function offerThemes(): void {
  const button = document.querySelector<HTMLButtonElement>('#theme')
  if (!button) return
  button.hidden = false
  let theme = THEMES.find((each) => each === document.documentElement.dataset['theme']) ?? 'auto'
  show()
  button.addEventListener('click', () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'auto'
    keep(theme)
    show()
  })

  function show(): void {
    if (theme === 'auto') delete document.documentElement.dataset['theme']
    else document.documentElement.dataset['theme'] = theme
    if (button) button.textContent = `Theme: ${theme}`
    // Pictures that are there for both themes ask the system, and have to be told.
    for (const source of document.querySelectorAll<HTMLSourceElement>('source[media*="dark"]'))
      source.media = { auto: '(prefers-color-scheme: dark)', light: 'not all', dark: 'all' }[theme]
  }
}

function keep(theme: string): void {
  try {
    localStorage.setItem('theme', theme)
  } catch {
    // It holds for this page then.
  }
}
