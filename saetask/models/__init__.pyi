from .hooks import resolve_hook_name as resolve_hook_name
