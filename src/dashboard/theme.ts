/** Light or dark: as the system has it, or as it was chosen here. */

const media = matchMedia('(prefers-color-scheme: dark)')
const CHOICES = ['auto', 'light', 'dark'] as const
type Choice = (typeof CHOICES)[number]

/** Makes the button switch between the three, and calls `changed` whenever the colours are others. */
export function themeSwitch(button: HTMLElement, changed: () => void): () => void {
  let choice: Choice = 'auto'
  const apply = () => {
    const isDark = choice === 'auto' ? media.matches : choice === 'dark'
    document.documentElement.dataset['theme'] = isDark ? 'dark' : 'light'
    button.textContent = `Theme: ${choice}`
    changed()
  }
  const next = () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length] ?? 'auto'
    apply()
  }
  button.addEventListener('click', next)
  media.addEventListener('change', apply)
  apply()
  return next
}
