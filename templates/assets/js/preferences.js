// Theme, sound and shortcuts: kept on this computer.

import { keys } from "./keys.js";
import { ring, sound } from "./sound.js";

export function preparePreferences() {
  const themes = document.querySelectorAll("[data-theme-choice]");
  for (const button of themes) {
    button.addEventListener("click", () => {
      const theme = button.dataset.themeChoice;
      document.cookie = `ringpost_theme=${theme}; path=/; max-age=${theme ? 31536000 : 0}; samesite=lax`;
      if (theme) document.documentElement.dataset.theme = theme;
      else delete document.documentElement.dataset.theme;
      for (const one of themes) one.setAttribute("aria-pressed", String(one === button));
    });
  }
  bind("[data-sound-on]", sound.on, (on) => { sound.on = on; if (on) ring(); });
  bind("[data-keys-on]", keys.on, (on) => { keys.on = on; });
  const volume = document.querySelector("[data-volume]");
  if (volume) {
    volume.value = String(sound.volume);
    volume.addEventListener("change", () => { sound.volume = Number(volume.value); ring(); });
  }
  document.querySelector("[data-open-keys]")?.addEventListener("click", () => {
    document.getElementById("preferences")?.hidePopover();
    document.getElementById("keys")?.showModal();
  });
}

function bind(selector, value, changed) {
  const box = document.querySelector(selector);
  if (!box) return;
  box.checked = value;
  box.addEventListener("change", () => changed(box.checked));
}
