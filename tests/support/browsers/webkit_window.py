#!/usr/bin/python3
# A WebKitGTK window for WebDriver, without a toolbar, so that it can be as narrow as a phone. MiniBrowser, which comes with
# WebKitGTK, keeps nothing while it is automated, and writes no console messages; this one keeps its storage in the folders
# of the XDG variables and writes the console to its standard error.
import gi

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import Gtk, WebKit2

context = WebKit2.WebContext.get_default()
context.set_automation_allowed(True)
settings = WebKit2.Settings(enable_write_console_messages_to_stdout=True)


def create_view(session):
    view = WebKit2.WebView(web_context=context, settings=settings, is_controlled_by_automation=True)
    window = Gtk.Window(decorated=False, default_width=1280, default_height=900)
    window.add(view)
    view.connect("close", lambda _: Gtk.main_quit())
    window.show_all()
    return view


def begin(context, session):
    info = WebKit2.ApplicationInfo()
    info.set_name("webkit-window")
    info.set_version(1, 0, 0)
    session.set_application_info(info)
    session.connect("create-web-view", create_view)


context.connect("automation-started", begin)
Gtk.main()
