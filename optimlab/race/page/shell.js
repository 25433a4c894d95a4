// What every page has around its pictures: an address, a notice, light and dark. The page itself has presentAddress(),
// restore(address) and recoloured().

const $ = id => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

// --- the address

let pending = null;
let known = location.hash; // the address that was last read or written here

function remember(within = 200) {
    pending ??= setTimeout(writeAddress, within);
}

function writeAddress() {
    clearTimeout(pending);
    pending = null;
    if (location.hash !== known) return; // another one was set, and is restored in a moment
    history.replaceState(null, "", presentAddress());
    known = location.hash;
}

function fieldsOf(address) {
    return address.replace(/^#/, "").split("&").filter(Boolean).map(part => decodeURIComponent(part).split("="));
}

const numberIn = text => (/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text ?? "") ? Number(text) : NaN);

function complain(complaints) {
    $("notice").hidden = !complaints.length;
    if (!complaints.length) return;
    const listed = complaints.slice(0, 4).join("; ").slice(0, 200);
    $("complaint").textContent = `Not understood in the address, and left out: ${listed}`;
}

async function copyLink() {
    writeAddress();
    const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
    $("link").textContent = copied ? "Copied" : "The address bar has it";
    setTimeout(() => ($("link").textContent = "Copy link"), 2000);
}

// --- light or dark: as the page around this one says, else as the system is set

let scheme = null;

function followScheme(said) {
    if (typeof said === "string") scheme = said;
    document.documentElement.dataset.scheme = scheme ?? (dark.matches ? "dark" : "light");
    recoloured();
}

function listenToShell() {
    $("dismiss").addEventListener("click", () => ($("notice").hidden = true));
    $("link").addEventListener("click", copyLink);
    addEventListener("hashchange", () => {
        if (location.hash === known) return;
        known = location.hash;
        restore(known);
    });
    dark.addEventListener("change", followScheme);
    addEventListener("message", ({source, data}) => {
        if (source === parent && ["light", "dark"].includes(data?.scheme)) followScheme(data.scheme);
    });
}
