// The clipboard of the machine in front of which one sits. What is said to be copied was copied.

/** Copies a text; whether it did. A page over plain HTTP has no `navigator.clipboard`: there a selection is copied, as by hand. */
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedBySelection(text);
  }
}

function copiedBySelection(text) {
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "sr-only";
  (focused?.closest("dialog") ?? document.body).append(field);
  field.select();
  const did = document.execCommand("copy");
  field.remove();
  focused?.focus({ preventScroll: true });
  return did;
}
